//! Header fields of a request or a response, to edit.

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};

/// The header fields of one message.
///
/// Fields that frame the message (`content-length`, `transfer-encoding`, `connection` and the
/// other hop-by-hop fields) belong to the gateway; configuration types such as
/// [`crate::types::FieldName`] refuse them at load.
pub struct Headers<'a>(Side<'a>);

enum Side<'a> {
    Request(&'a mut RequestHeader),
    Response(&'a mut ResponseHeader),
}

impl<'a> From<&'a mut RequestHeader> for Headers<'a> {
    fn from(head: &'a mut RequestHeader) -> Self {
        Self(Side::Request(head))
    }
}

impl<'a> From<&'a mut ResponseHeader> for Headers<'a> {
    fn from(head: &'a mut ResponseHeader) -> Self {
        Self(Side::Response(head))
    }
}

impl Headers<'_> {
    /// All fields, to read.
    pub fn map(&self) -> &HeaderMap {
        match &self.0 {
            Side::Request(head) => &head.headers,
            Side::Response(head) => &head.headers,
        }
    }

    /// The first value of a field.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.map().get(name)
    }

    /// Sets a field, in place of all values that it had.
    pub fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        let done = match &mut self.0 {
            Side::Request(head) => head.insert_header(name, value),
            Side::Response(head) => head.insert_header(name, value),
        };
        debug_assert!(done.is_ok(), "a HeaderName and HeaderValue always fit");
    }

    /// Adds a value to a field, after those that it has.
    pub fn add(&mut self, name: &HeaderName, value: HeaderValue) {
        let done = match &mut self.0 {
            Side::Request(head) => head.append_header(name, value),
            Side::Response(head) => head.append_header(name, value),
        };
        debug_assert!(done.is_ok(), "a HeaderName and HeaderValue always fit");
    }

    /// Removes a field with all its values; returns the first of them.
    pub fn remove(&mut self, name: &HeaderName) -> Option<HeaderValue> {
        match &mut self.0 {
            Side::Request(head) => head.remove_header(name),
            Side::Response(head) => head.remove_header(name),
        }
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
        let mut merged = Vec::new();
        for line in self.map().get_all(VARY) {
            let mut names = line.as_bytes().split(|byte| *byte == b',');
            let on = on.as_str().as_bytes();
            if names.any(|name| {
                matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(on)
            }) {
                return;
            }
            merged.extend_from_slice(line.as_bytes().trim_ascii());
            merged.extend_from_slice(b", ");
        }
        if merged.is_empty() {
            self.set(&VARY, on.clone().into());
            return;
        }
        merged.extend_from_slice(on.as_str().as_bytes());
        let merged = HeaderValue::from_bytes(&merged).expect("made from valid values");
        self.set(&VARY, merged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied(lines: &[&str]) -> Vec<String> {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for line in lines {
            head.append_header(VARY, *line).unwrap();
        }
        Headers::from(&mut head).vary(&http::header::ORIGIN);
        let values = head.headers.get_all(VARY).iter();
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
