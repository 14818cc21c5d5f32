//! Whether bytes are JSON (RFC 8259), and where its values end.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// So many members an object has, as a rule.
const FEW_MEMBERS: usize = 8;
/// So many members are noted.
const MOST_MEMBERS: usize = 64;
/// How deep arrays and objects may stand in each other.
pub(super) const DEEPEST: usize = 128;

/// Checks that these bytes are one JSON text in UTF-8, nested no deeper than 128 levels. A byte
/// order mark is no part of it.
///
/// # Errors
/// What was expected, and at which byte. Never shows what is there.
pub(in crate::transform) fn check(text: &[u8]) -> Result<(), String> {
    outline(text).map(drop)
}

/// Where the names and the values of an object's members stand, in their order.
pub(super) type Outline = Vec<(Range<usize>, Range<usize>)>;

/// The same as [`check`], and the members of the object that the text is: nothing where it is none, an
/// empty one, or one of more than 64 members.
///
/// # Errors
/// As those of [`check`].
pub(super) fn outline(text: &[u8]) -> Result<Option<Outline>, String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(format!("expected UTF-8 at byte {}", error.valid_up_to()));
    }
    let mut scan = Scan { text, at: 0 };
    scan.document()
        .map_err(|what| format!("expected {what} at byte {}", scan.at))
}

/// Where the value that begins here ends, in a text that is JSON.
pub(super) fn end_of_value(text: &[u8], start: usize) -> usize {
    match text[start] {
        b'"' => end_of_string(text, start),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, start);
            loop {
                match text[at] {
                    b'"' => {
                        at = end_of_string(text, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || is_blank(*byte);
            let length = text[start..].iter().position(ends);
            length.map_or(text.len(), |length| start + length)
        }
    }
}

/// Where the next thing that is no blank stands.
pub(super) fn skip_blanks(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while text.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        at = end_of_plain(text, at);
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the next quote, backslash or control character stands, or the end. Looks at eight bytes at a
/// time.
#[inline(always)]
fn end_of_plain(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk) {
        match first_special(u64::from_le_bytes(*eight)) {
            Some(behind) => return at + behind,
            None => at += 8,
        }
    }
    while text.get(at).is_some_and(|byte| !is_special(*byte)) {
        at += 1;
    }
    at
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// The first of eight bytes that [`is_special`], the lowest being the first.
fn first_special(eight: u64) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte that is less than this; borrowing may set some above the first one, and those of bytes
    // from 0x80 on count nowhere.
    let less = |bytes: u64, than: u8| bytes.wrapping_sub(ONES * u64::from(than));
    let is = |byte: u8| less(eight ^ (ONES * u64::from(byte)), 1);
    let found = (is(b'"') | is(b'\\') | less(eight, 0x20)) & !eight & HIGH;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// What was expected where the scan stands.
type Expected = &'static str;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

/// The arrays and objects that are open.
#[derive(Default)]
struct Levels {
    /// Which of them are objects, the innermost in the lowest bit.
    objects: u128,
    depth: usize,
}

impl Levels {
    /// One more, where that is not too deep.
    fn open(&mut self, object: bool) -> Result<(), Expected> {
        if self.depth == DEEPEST {
            return Err("at most 128 levels, found more");
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

/// The members of the whole, where it is an object of not too many.
#[derive(Default)]
struct Members {
    all: Option<Outline>,
    /// The name of the present one, and where its value begins.
    name: Range<usize>,
    value: usize,
}

impl Members {
    /// Notes the member whose value ends here.
    fn note(&mut self, end: usize) {
        match &mut self.all {
            Some(members) if members.len() == MOST_MEMBERS => self.all = None,
            Some(members) => members.push((self.name.clone(), self.value..end)),
            None => {}
        }
    }
}

impl Scan<'_> {
    /// All of it in one loop: each turn takes a value, or the beginning of one that has others in it, and
    /// the ends that follow.
    fn document(&mut self) -> Result<Option<Outline>, Expected> {
        let mut levels = Levels::default();
        let mut members = Members::default();
        loop {
            self.blanks();
            if levels.depth == 1 {
                members.value = self.at;
            }
            match self.here() {
                b'"' => self.string()?,
                open @ (b'{' | b'[') => {
                    let outermost = levels.depth == 0;
                    levels.open(open == b'{')?;
                    self.at += 1;
                    self.blanks();
                    if self.here() != open + 2 {
                        if open == b'{' {
                            let name = self.name()?;
                            if outermost {
                                members.all = Some(Vec::with_capacity(FEW_MEMBERS));
                                members.name = name;
                            }
                        }
                        continue;
                    }
                    self.at += 1; // it is empty
                    levels.close();
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            if !self.ends(&mut levels, &mut members)? {
                break;
            }
        }
        if self.at < self.text.len() {
            return Err("the end");
        }
        Ok(members.all)
    }

    /// Takes what follows a value, and the ends of those that it is the last one of. Whether another one is
    /// to come.
    #[inline(always)]
    fn ends(&mut self, levels: &mut Levels, members: &mut Members) -> Result<bool, Expected> {
        loop {
            if levels.depth == 1 {
                members.note(self.at);
            }
            self.blanks();
            if levels.depth == 0 {
                return Ok(false);
            }
            let object = levels.in_object();
            match self.here() {
                b',' if object => {
                    self.at += 1;
                    self.blanks();
                    let name = self.name()?;
                    if levels.depth == 1 {
                        members.name = name;
                    }
                    return Ok(true);
                }
                b',' => {
                    self.at += 1;
                    return Ok(true);
                }
                b'}' if object => {}
                b']' if !object => {}
                _ => return Err("`,` or the end of a list"),
            }
            self.at += 1;
            levels.close();
        }
    }

    /// A member's name, and the colon.
    #[inline(always)]
    fn name(&mut self) -> Result<Range<usize>, Expected> {
        let start = self.at;
        self.byte(b'"', "a value")?;
        self.at = start;
        self.string()?;
        let name = start..self.at;
        self.blanks();
        self.byte(b':', "`:`")?;
        Ok(name)
    }

    /// A text, before whose first quote the scan stands.
    #[inline(always)]
    fn string(&mut self) -> Result<(), Expected> {
        self.at += 1;
        loop {
            self.at = end_of_plain(self.text, self.at);
            match self.here() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err("the end of a text"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Expected> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err("four hexadecimal digits");
                }
                self.at += 6;
            }
            _ => return Err("an escape of JSON"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Expected> {
        self.at += usize::from(self.here() == b'-');
        if self.here() == b'0' {
            self.at += 1;
        } else {
            self.digits("a value")?;
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

    fn digits(&mut self, expected: Expected) -> Result<(), Expected> {
        let start = self.at;
        while self.here().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start {
            return Err(expected);
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Expected> {
        if !self.text[self.at..].starts_with(word) {
            return Err("a value");
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8, expected: Expected) -> Result<(), Expected> {
        if self.here() != byte {
            return Err(expected);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn blanks(&mut self) {
        self.at = skip_blanks(self.text, self.at);
    }

    /// The byte that the scan stands before; at the end a zero, which is no part of any JSON.
    fn here(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }
}
