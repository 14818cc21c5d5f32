//! Header fields of a request or a response, to edit.

use http::header::{Entry, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cookies;
use crate::views::{RequestHead, ResponseHead};

/// The header fields of one message.
///
/// Fields that frame the message (`content-length`, `transfer-encoding`, `connection` and the
/// other hop-by-hop fields) belong to the gateway; configuration types such as
/// [`crate::types::FieldName`] refuse them at load.
pub struct Headers<'a>(&'a mut HeaderMap);

impl<'a> From<&'a mut RequestHead> for Headers<'a> {
    fn from(head: &'a mut RequestHead) -> Self {
        Self(&mut head.headers)
    }
}

impl<'a> From<&'a mut ResponseHead> for Headers<'a> {
    fn from(head: &'a mut ResponseHead) -> Self {
        Self(&mut head.headers)
    }
}

impl Headers<'_> {
    /// All fields, to read.
    pub fn map(&self) -> &HeaderMap {
        self.0
    }

    /// The first value of a field.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.map().get(name)
    }

    /// Sets a field, in place of all values that it had.
    pub fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        self.0.insert(name, value);
    }

    /// Adds a value to a field, after those that it has.
    pub fn add(&mut self, name: &HeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    /// Removes a field with all its values; returns the first of them.
    pub fn remove(&mut self, name: &HeaderName) -> Option<HeaderValue> {
        self.0.remove(name)
    }

    /// Removes all cookies of this name from a request; the others stay.
    pub fn remove_cookie(&mut self, name: &str) {
        cookies::remove(self.0, name);
    }

    /// Moves all values of `from` to the end of `to`.
    pub fn rename(&mut self, from: &HeaderName, to: &HeaderName) {
        let values: Vec<_> = self.map().get_all(from).iter().cloned().collect();
        if values.is_empty() {
            return;
        }
        self.remove(from);
        for value in values {
            self.add(to, value);
        }
    }

    /// Says in `vary` that this field of the request had a say in the response (RFC 9110,
    /// 12.5.5), unless `vary` says so already.
    pub fn vary(&mut self, on: &HeaderName) {
        let mut lines = match self.0.entry(VARY) {
            Entry::Vacant(none) => {
                none.insert(on.clone().into());
                return;
            }
            Entry::Occupied(lines) => lines,
        };
        let mut merged = Vec::new();
        let on = on.as_str().as_bytes();
        for line in lines.iter() {
            let mut names = line.as_bytes().split(|byte| *byte == b',');
            if names.any(|name| {
                matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(on)
            }) {
                return;
            }
            merged.extend_from_slice(line.as_bytes().trim_ascii());
            merged.extend_from_slice(b", ");
        }
        merged.extend_from_slice(on);
        lines.insert(HeaderValue::from_bytes(&merged).expect("made from valid values"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied(lines: &[&str]) -> Vec<String> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(VARY, line.parse().unwrap());
        }
        Headers(&mut fields).vary(&http::header::ORIGIN);
        let values = fields.get_all(VARY).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn vary_is_merged_into_one_line() {
        assert_eq!(varied(&[]), ["origin"]);
        assert_eq!(varied(&["Accept"]), ["Accept, origin"]);
        assert_eq!(
            varied(&["Accept", "Cookie, X"]),
            ["Accept, Cookie, X, origin"]
        );
        assert_eq!(varied(&["X-Origin"]), ["X-Origin, origin"]);
    }

    #[test]
    fn vary_says_nothing_twice() {
        assert_eq!(varied(&["Accept ,  Origin"]), ["Accept ,  Origin"]);
        assert_eq!(varied(&["Accept", "ORIGIN"]), ["Accept", "ORIGIN"]);
        assert_eq!(varied(&["*"]), ["*"]);
    }
}
