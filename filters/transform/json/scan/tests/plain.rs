//! Another reader of JSON, byte by byte, which says the same.

use super::DEEPEST;

pub(super) fn check(text: &[u8]) -> Result<(), String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(format!("expected UTF-8 at byte {}", error.valid_up_to()));
    }
    let mut scan = Scan { text, at: 0 };
    scan.document()
        .map_err(|what| format!("expected {what} at byte {}", scan.at))
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

type Passed = Result<(), &'static str>;

impl Scan<'_> {
    fn document(&mut self) -> Passed {
        self.value(0)?;
        match self.at < self.text.len() {
            true => Err("the end"),
            false => Ok(()),
        }
    }

    fn value(&mut self, depth: usize) -> Passed {
        self.blanks();
        match self.here() {
            b'"' => self.string()?,
            b'{' | b'[' if depth == DEEPEST => return Err("at most 128 levels, found more"),
            b'{' => self.list(b'}', |scan| {
                scan.name()?;
                scan.value(depth + 1)
            })?,
            b'[' => self.list(b']', |scan| scan.value(depth + 1))?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.blanks();
        Ok(())
    }

    fn list(&mut self, end: u8, item: impl Fn(&mut Self) -> Passed) -> Passed {
        self.at += 1;
        self.blanks();
        if self.here() == end {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.here() {
                b',' => self.at += 1,
                byte if byte == end => break,
                _ => return Err("`,` or the end of a list"),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn name(&mut self) -> Passed {
        self.blanks();
        if self.here() != b'"' {
            return Err("a value");
        }
        self.string()?;
        self.blanks();
        if self.here() != b':' {
            return Err("`:`");
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Passed {
        self.at += 1;
        loop {
            match (self.here(), self.text.get(self.at + 1)) {
                (b'"', _) => break,
                (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => {
                    self.at += 2;
                }
                (b'\\', Some(b'u')) => {
                    for place in 2..6 {
                        let digit = self.text.get(self.at + place);
                        if !digit.is_some_and(u8::is_ascii_hexdigit) {
                            return Err("four hexadecimal digits");
                        }
                    }
                    self.at += 6;
                }
                (b'\\', _) => return Err("an escape of JSON"),
                (0..0x20, _) => return Err("the end of a text"),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Passed {
        self.at += usize::from(self.here() == b'-');
        match self.here() {
            b'0' => self.at += 1,
            _ => self.digits("a value")?,
        }
        if self.here() == b'.' {
            self.at += 1;
            self.digits("a digit")?;
        }
        if let b'e' | b'E' = self.here() {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), b'+' | b'-'));
            self.digits("a digit")?;
        }
        Ok(())
    }

    fn digits(&mut self, expected: &'static str) -> Passed {
        if !self.here().is_ascii_digit() {
            return Err(expected);
        }
        while self.here().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Passed {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err("a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn blanks(&mut self) {
        while matches!(self.here(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// The byte that the scan stands before; at the end a zero, which is no part of any JSON.
    fn here(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }
}
