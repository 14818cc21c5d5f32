//! Which host a request asks for.

use std::borrow::Cow;

use http::header::HOST;

use crate::views::RequestHead;

/// The host that a request asks for: in lower case, without port, without the dot that a fully
/// qualified name may end with; an IPv6 address in its brackets. Empty where the request names
/// none.
///
/// `Host` rules, which a filter may have changed; without one, `:authority` or the target's own
/// (RFC 9110, 7.2; RFC 9113, 8.3.1). A request on which they differ is refused before it gets here.
pub fn host_of(head: &RequestHead) -> Cow<'_, str> {
    let Some(value) = head.headers.get(HOST) else {
        let authority = head.uri.authority();
        return host_in(authority.map_or("", |named| after_userinfo(named.as_str())));
    };
    match value.to_str() {
        Ok(host) => host_in(host),
        Err(_) => host_in(&String::from_utf8_lossy(value.as_bytes()))
            .into_owned()
            .into(),
    }
}

/// The same of a `Host` field.
pub fn host_in(field: &str) -> Cow<'_, str> {
    match is_plain(field) {
        true => field.into(),
        false => lower(without_port(field)),
    }
}

/// Whether a host is as it is compared, at first sight: as most are.
fn is_plain(host: &str) -> bool {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    host.bytes().all(plain) && !host.ends_with('.')
}

fn after_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

fn without_port(host: &str) -> &str {
    let colon = || host.bytes().position(|b| b == b':');
    let end = match host
        .strip_prefix('[')
        .and_then(|rest| Some(rest.find(']')? + 1))
    {
        Some(bracket) => bracket + 1,
        None => colon().unwrap_or(host.len()),
    };
    let name = &host[..end];
    name.strip_suffix('.').unwrap_or(name)
}

fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::request_head;

    fn asking(host: &[u8]) -> RequestHead {
        let mut head = request_head("GET", "/");
        let value = HeaderValue::from_bytes(host).unwrap();
        head.headers.insert(HOST, value);
        head
    }

    #[test]
    fn has_no_port_and_no_capitals() {
        for (written, host) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "["),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(host_of(&asking(written.as_bytes())), host, "{written}");
        }
    }

    #[test]
    fn borrows_what_is_already_plain() {
        let head = asking(b"example.com:80");
        assert!(matches!(host_of(&head), Cow::Borrowed("example.com")));
    }

    #[test]
    fn falls_back_on_the_authority_and_prefers_the_field() {
        let mut head = request_head("GET", "/");
        assert_eq!(host_of(&head), "");
        head.uri = "http://user:pw@Example.org:1/x".parse().unwrap();
        assert_eq!(host_of(&head), "example.org");
        let other = HeaderValue::from_static("other.example");
        head.headers.insert(HOST, other);
        assert_eq!(host_of(&head), "other.example");
    }

    proptest! {
        #[test]
        fn never_panics(host: Vec<u8>) {
            if HeaderValue::from_bytes(&host).is_ok() {
                let head = asking(&host);
                let found = host_of(&head);
                prop_assert!(!found.bytes().any(|b| b.is_ascii_uppercase()));
            }
        }

        #[test]
        fn no_text_around_brackets_gets_lost(host in "[\\[\\]:.a-zA-Zé]{0,12}") {
            let head = asking(host.as_bytes());
            prop_assert!(host.to_ascii_lowercase().starts_with(&*host_of(&head)));
        }
    }
}
