//! Whether bytes are JSON (RFC 8259), and where its values end.

/// How deep arrays and objects may stand in each other.
pub(super) const DEEPEST: usize = 128;

/// Checks that these bytes are one JSON text in UTF-8, nested no deeper than 128 levels. A byte
/// order mark is no part of it.
///
/// # Errors
/// What was expected, and at which byte. Never shows what is there.
pub(in crate::transform) fn check(text: &[u8]) -> Result<(), String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(format!("expected UTF-8 at byte {}", error.valid_up_to()));
    }
    let mut scan = Scan { text, at: 0 };
    scan.value(0)?;
    scan.blanks();
    if scan.at < text.len() {
        return Err(scan.expected("the end"));
    }
    Ok(())
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
    let blanks = text[from..].iter().take_while(|byte| is_blank(**byte));
    from + blanks.count()
}

fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
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

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn value(&mut self, depth: usize) -> Result<(), String> {
        self.blanks();
        match self.text.get(self.at) {
            Some(b'{' | b'[') if depth == DEEPEST => Err(format!(
                "expected at most {DEEPEST} levels, found more at byte {}",
                self.at
            )),
            Some(b'{') => self.items(b'}', |scan| {
                scan.blanks();
                scan.string()?;
                scan.blanks();
                scan.byte(b':', "`:`")?;
                scan.value(depth + 1)
            }),
            Some(b'[') => self.items(b']', |scan| scan.value(depth + 1)),
            Some(b'"') => self.string(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.at += 1;
        self.blanks();
        if self.text.get(self.at) == Some(&close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.blanks();
            match self.text.get(self.at) {
                Some(b',') => self.at += 1,
                Some(byte) if *byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("`,` or the end of a list")),
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.byte(b'"', "a value")?;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.expected("the end of a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.expected("four hexadecimal digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.expected("an escape of JSON")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.at += usize::from(self.text.get(self.at) == Some(&b'-'));
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits("a value")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("a digit")?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits("a digit")?;
        }
        Ok(())
    }

    fn digits(&mut self, expected: &str) -> Result<(), String> {
        let digits = self.text[self.at..]
            .iter()
            .take_while(|b| b.is_ascii_digit());
        match digits.count() {
            0 => Err(self.expected(expected)),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn byte(&mut self, byte: u8, expected: &str) -> Result<(), String> {
        if self.text.get(self.at) != Some(&byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        self.at = skip_blanks(self.text, self.at);
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_is_json() {
        for text in [
            "0",
            "-0",
            "1e400",
            "-1.5E-7",
            "null",
            " true ",
            "\"\"",
            "[]",
            "{}",
            "[1 , 2]",
            r#"{"a":[{"b":"\u00e9\\\/"}], "a": 1}"#,
            "\"\u{7f}é\"",
            "12345678901234567890",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn says_where_it_is_not() {
        for (text, error) in [
            ("", "expected a value at byte 0"),
            ("01", "expected the end at byte 1"),
            ("1.", "expected a digit at byte 2"),
            ("+1", "expected a value at byte 0"),
            ("NaN", "expected a value at byte 0"),
            ("nul", "expected a value at byte 0"),
            ("[1,]", "expected a value at byte 3"),
            ("[1 2]", "expected `,` or the end of a list at byte 3"),
            ("{a:1}", "expected a value at byte 1"),
            ("{\"a\" 1}", "expected `:` at byte 5"),
            ("\"a\nb\"", "expected the end of a text at byte 2"),
            ("\"\\x\"", "expected an escape of JSON at byte 1"),
            ("\"\\u12\"", "expected four hexadecimal digits at byte 1"),
            ("1 1", "expected the end at byte 2"),
            ("\u{feff}1", "expected a value at byte 0"),
        ] {
            assert_eq!(check(text.as_bytes()), Err(error.to_owned()), "{text}");
        }
        assert_eq!(
            check(b"\"\xff\""),
            Err("expected UTF-8 at byte 1".to_owned())
        );
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(check(nested(DEEPEST).as_bytes()).is_ok());
        assert!(check(nested(DEEPEST + 1).as_bytes()).is_err());
        assert!(check("[".repeat(10_000_000).as_bytes()).is_err());
        assert!(check("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_another_reader(text in "[\\[\\]{},:\"0-9eE.+\\- a\\\\utrfnsl]{0,12}") {
            let other = serde_json::from_str::<wiregate_sdk::serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(check(text.as_bytes()).is_ok(), other, "{}", text);
        }

        #[test]
        fn finds_the_end_of_what_is_written(value in super::super::tests::any_json(), rest in "[ ,\\]}]{0,3}") {
            let text = format!("{value}{}{rest}", if rest.is_empty() { "" } else { " " });
            prop_assert_eq!(end_of_value(text.as_bytes(), 0), value.to_string().len());
        }
    }
}
