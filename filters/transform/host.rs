//! What may name a host, with or without a port.

use std::net::Ipv6Addr;

/// What a URL's authority and the `Host` field may hold here (RFC 9110, 7.2): a name, an IPv4
/// address or an IPv6 address in brackets, and a port. No user information, and of the letters
/// that RFC 3986, 3.2.2 allows only those that names have.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&host.len())
        && host.bytes().all(in_name)
        && !host.starts_with('.')
        && !host.contains("..")
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_name_or_an_address() {
        for good in [
            "a",
            "example.com",
            "example.com.",
            "Example.com:8080",
            "a_b-c.d",
            "192.0.2.1:1",
            "[2001:db8::1]",
            "[::1]:65535",
        ] {
            assert!(is_authority(good), "{good}");
        }
    }

    #[test]
    fn is_nothing_else() {
        for bad in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[example.com]",
            "[fe80::1%25eth0]",
            ".a",
            "a..b",
            "user@a",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a b",
            "a\r\nb",
            "a%2fb",
            "é.example",
            "a,b",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
        assert!(!is_authority(&"a".repeat(254)));
    }
}
