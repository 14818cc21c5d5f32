//! A response head on its way out, whose date is put in the place of another one.

/// The beginning of the field, behind the end of the line before it.
const FIELD: &[u8] = b"\r\ndate: ";
/// A date in the preferred form (RFC 9110, 5.6.7).
const DATE: usize = 29;
const WHOLE: usize = FIELD.len() + DATE;

/// Puts a date into a head that has another one of the same length.
#[derive(Debug)]
pub(super) struct Dating {
    text: [u8; WHOLE],
    /// How much of the text is written, once the field has come.
    written: Option<usize>,
}

impl Dating {
    /// With this date, if it is in the preferred form.
    pub(super) fn new(date: &[u8]) -> Option<Self> {
        let mut text = [0; WHOLE];
        text[..FIELD.len()].copy_from_slice(b"\r\nDate: ");
        text[FIELD.len()..]
            .copy_from_slice(date.first_chunk::<DATE>().filter(|_| date.len() == DATE)?);
        Some(Self {
            text,
            written: None,
        })
    }

    /// What is to be written of these bytes, or in their place.
    pub(super) fn next<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.written.is_none() {
            let found =
                memchr::memchr_iter(b'\r', bytes).find(|start| starts_field(&bytes[*start..]));
            match found {
                Some(0) => self.written = Some(0),
                Some(start) => return &bytes[..start],
                None => return bytes,
            }
        }
        let rest = &self.text[self.written.unwrap_or_default()..];
        &rest[..rest.len().min(bytes.len())]
    }

    /// So much of that was written; whether the field is complete.
    pub(super) fn wrote(&mut self, count: usize) -> bool {
        self.written = self.written.map(|written| written + count);
        self.written.is_some_and(|written| written >= WHOLE)
    }
}

fn starts_field(bytes: &[u8]) -> bool {
    let start = bytes.get(..FIELD.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(FIELD))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn other_forms_are_left_alone() {
        assert!(Dating::new(b"Sun Nov  6 08:49:37 1994").is_none());
    }

    proptest! {
        #[test]
        fn however_little_is_written_at_once(sizes in prop::collection::vec(1..60_usize, 1..20), before in "[a-z]{0,40}") {
            let head = |date: &str| format!("HTTP/1.1 200 OK\r\nx: {before}\r\nDate: {date}\r\nage: 1\r\n\r\n");
            let text = head("Wed, 25 Nov 2026 21:29:19 GMT");
            let mut dating = Dating::new(OWN.as_bytes()).unwrap();
            let (mut rest, mut out, mut done) = (text.as_bytes(), Vec::new(), false);
            let mut sizes = sizes.into_iter().cycle();
            while !rest.is_empty() {
                let next = if done { rest } else { dating.next(rest) };
                let count = next.len().min(sizes.next().unwrap());
                out.extend_from_slice(&next[..count]);
                done = done || dating.wrote(count);
                rest = &rest[count..];
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), head(OWN));
        }
    }
}
