//! A chunked body (RFC 9112, 7.1): checked to the letter, and read without what may be dropped:
//! extensions and trailers.

/// Digits of a size, leading zeros included.
const MOST_DIGITS: u8 = 16;
/// A chunk, in bytes: more than will ever come, and far from what a number of 64 bits holds.
const MOST_SIZE: u64 = 1 << 60;
/// The extensions of one chunk, in bytes.
const MOST_EXTENSION: u32 = 256;
/// All trailers together, in bytes.
const MOST_TRAILERS: u32 = 8 * 1024;

/// What breaks the rules of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    size: u64,
    digits: u8,
    /// Bytes of this chunk's extensions, or of all trailers.
    dropped: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeEnd,
    /// This many bytes are left of the chunk.
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

impl Chunks {
    /// Whether it has been read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much of the chunk's data comes next, where it is data.
    pub(super) fn data_left(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            _ => 0,
        }
    }

    /// This much of the chunk's data has come by another way.
    pub(super) fn passed(&mut self, count: u64) {
        if let State::Data(left) = self.state {
            self.advance(left - count);
        }
    }

    /// Reads up to the end of the next piece of data, which may be empty where more input is
    /// needed, or none comes; returns how much of the input was used, that piece at its end.
    ///
    /// # Errors
    /// Where the body breaks the rules; nothing may be read from it any more.
    pub(super) fn read<'i>(&mut self, input: &'i [u8]) -> Result<(usize, &'i [u8]), Malformed> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let rest = &input[used..];
                let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.advance(left - count as u64);
                return Ok((used + count, &rest[..count]));
            }
            self.step(input[used])?;
            used += 1;
        }
        Ok((used, &[]))
    }

    fn advance(&mut self, left: u64) {
        self.state = match left {
            0 => State::DataCr,
            left => State::Data(left),
        };
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, byte) if byte.is_ascii_hexdigit() => self.digit(byte)?,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, byte) if is_text(byte) => {
                self.drop_one(MOST_EXTENSION)?;
                State::Extension
            }
            (State::SizeEnd, b'\n') => self.size_ended(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::TrailerName, byte) if is_token(byte) => {
                self.drop_one(MOST_TRAILERS)?;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, byte) if is_text(byte) => {
                self.drop_one(MOST_TRAILERS)?;
                State::TrailerValue
            }
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, Malformed> {
        let value = char::from(byte).to_digit(16).ok_or(Malformed)?;
        self.digits += 1;
        if self.digits > MOST_DIGITS || self.size >= MOST_SIZE / 16 {
            return Err(Malformed);
        }
        self.size = self.size * 16 + u64::from(value);
        Ok(State::Size)
    }

    fn size_ended(&mut self) -> State {
        (self.digits, self.dropped) = (0, 0);
        match std::mem::take(&mut self.size) {
            0 => State::TrailerStart,
            size => State::Data(size),
        }
    }

    fn drop_one(&mut self, most: u32) -> Result<(), Malformed> {
        self.dropped += 1;
        if self.dropped > most {
            return Err(Malformed);
        }
        Ok(())
    }
}

/// What may stand in a field value or an extension: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a field name is made of (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads this in pieces of a size: the data, what was left, and whether that was all.
    fn read(input: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let mut chunks = Chunks::default();
        let (mut all, mut used) = (Vec::new(), 0);
        while used < input.len() && !chunks.is_done() {
            let end = input.len().min(used + piece);
            let (count, data) = chunks.read(&input[used..end])?;
            assert!(count > 0, "it gets on");
            used += count;
            all.extend_from_slice(data);
        }
        Ok((all, input.len() - used, chunks.is_done()))
    }

    #[test]
    fn what_may_be_dropped_is_dropped() {
        for (input, data) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("00A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
            ("1;a=b;c=\"\t;\"\r\nx\r\n0;z\r\n\r\n", "x"),
            ("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "x"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ] {
            for piece in [64, 1, 3] {
                let next = format!("{input}GET /");
                let read = read(next.as_bytes(), piece).expect(input);
                assert_eq!(read, (data.into(), 5, true), "{input:?} {piece}");
            }
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let long = format!("1;{}\r\nx\r\n", "a".repeat(300));
        let trailers = format!("0\r\na:{}\r\n\r\n", "a".repeat(9000));
        for input in [
            "\r\n",
            "x\r\n",
            ";a\r\n",
            " 1\r\nx\r\n",
            "1 \r\nx\r\n",
            "1 ;a\r\nx",
            "+1\r\nx",
            "-1\r\n",
            "0x1\r\nx",
            "1\nx\r\n",
            "1\r\nx\n",
            "1\r\nxy",
            "1\rx",
            "1\r\r\n",
            "1;a\nx",
            "1;a\0\r\n",
            "1;\x7f\r\n",
            "11111111111111111\r\n",
            "ffffffffffffffff\r\n",
            "00000000000000001\r\n",
            "0\r\n\n",
            "0\r\n a: b\r\n",
            "0\r\na b: c\r\n",
            "0\r\n: c\r\n",
            "0\r\na\r\n",
            "0\r\na:b\n\r\n",
            "0\r\na: \0\r\n",
            "0\r\na: b\r\n c\r\n",
            "0\r\n\rx",
            &long,
            &trailers,
        ] {
            for piece in [64, 1] {
                assert_eq!(read(input.as_bytes(), piece), Err(Malformed), "{input:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_is_cut(
            parts in proptest::collection::vec("[0-9a-f]{0,2}|\r\n|;a|[a-z]{0,20}|\n|0\r\n\r\n", 0..12),
            piece in 1_usize..40,
        ) {
            let input = parts.concat();
            prop_assert_eq!(read(input.as_bytes(), piece), read(input.as_bytes(), 1));
        }

        #[test]
        fn a_body_is_read_whole(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0_usize..300,
            piece in 1_usize..80,
        ) {
            let (one, two) = body.split_at(at.min(body.len()));
            let mut input = Vec::new();
            for chunk in [one, two].into_iter().filter(|chunk| !chunk.is_empty()) {
                input.extend(format!("{:x}\r\n", chunk.len()).bytes());
                input.extend(chunk);
                input.extend(b"\r\n");
            }
            input.extend(b"0\r\n\r\n");
            prop_assert_eq!(read(&input, piece), Ok((body, 0, true)));
        }
    }
}
