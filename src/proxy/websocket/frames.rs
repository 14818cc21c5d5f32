//! Where the frames of a WebSocket begin and end (RFC 6455, 5.2).

/// The longest head: two bytes, a length of eight, and a mask of four.
const HEAD: usize = 14;
const CLOSE: u8 = 8;

/// One direction of a WebSocket, however its bytes are cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    have: usize,
    left: u64,
    closed: bool,
}

impl Frames {
    /// Whether a frame may begin here.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a whole close frame has passed.
    pub fn closed(&self) -> bool {
        self.closed && self.is_between()
    }

    /// These bytes pass.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let read = self.read_one(bytes);
            bytes = &bytes[read..];
        }
    }

    /// These bytes pass up to the end of a frame; returns how many that are.
    pub fn read_one(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        while read < bytes.len() {
            if self.left > 0 {
                let here = bytes.len() - read;
                let part = usize::try_from(self.left).map_or(here, |left| left.min(here));
                read += part;
                self.left -= part as u64;
            } else {
                self.head[self.have] = bytes[read];
                self.have += 1;
                read += 1;
                if self.have < 2 || self.have < self.head_length() {
                    continue;
                }
                self.begin();
            }
            if self.is_between() {
                break;
            }
        }
        read
    }

    fn head_length(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn begin(&mut self) {
        let [_, short, a, b, c, d, e, f, g, h, ..] = self.head;
        self.left = match short & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        self.closed |= self.head[0] & 0x0f == CLOSE;
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![7; length + if masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn knows_where_frames_end_however_they_are_cut() {
        for masked in [false, true] {
            let sizes = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000];
            let frames: Vec<_> = sizes.iter().map(|size| frame(2, *size, masked)).collect();
            let whole = frames.concat();
            let mut ends: Vec<usize> = Vec::new();
            for frame in &frames {
                ends.push(ends.last().unwrap_or(&0) + frame.len());
            }
            for size in [1, 2, 3, 7, 1000, whole.len()] {
                let mut seen = Frames::default();
                let (mut at, mut found) = (0, Vec::new());
                for mut piece in whole.chunks(size) {
                    while !piece.is_empty() {
                        let read = seen.read_one(piece);
                        at += read;
                        piece = &piece[read..];
                        if seen.is_between() {
                            found.push(at);
                        }
                    }
                }
                assert_eq!(found, ends, "in pieces of {size}");
                assert!(!seen.closed());
            }
        }
    }

    #[test]
    fn sees_a_close_frame_once_it_is_whole() {
        let mut seen = Frames::default();
        let close = frame(8, 2, true);
        seen.read(&frame(1, 5, true));
        seen.read(&close[..7]);
        assert!(!seen.closed());
        seen.read(&close[7..]);
        assert!(seen.closed());
    }
}
