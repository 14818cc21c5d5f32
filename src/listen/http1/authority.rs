//! What may stand in `Host` and in the authority of a target.

/// Whether this is a host with or without a port (RFC 9110, 7.2): a name or an address of letters,
/// digits, `-`, `.`, `_` and `~`, or an IPv6 address in brackets.
///
/// RFC 3986 would allow more in a name (`a,b`, `a%2fb`); no such name exists, and servers disagree
/// on what they mean.
pub fn is_valid(authority: &[u8]) -> bool {
    split(authority).is_some()
}

/// The host without its port, where there is a port that is not empty.
pub(super) fn host_before_port(authority: &[u8]) -> Option<&[u8]> {
    let (host, port) = split(authority)?;
    port.filter(|port| !port.is_empty()).map(|_| host)
}

/// What names and addresses are made of.
const IN_NAMES: [bool; 256] = {
    let (mut those, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        those[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    those
};

fn split(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = if let Some(literal) = authority.strip_prefix(b"[") {
        let length = literal.iter().position(|byte| *byte == b']')?;
        let text = std::str::from_utf8(&literal[..length]).ok()?;
        text.parse::<std::net::Ipv6Addr>().ok()?;
        length + 2
    } else {
        let end = authority.iter().position(|byte| *byte == b':');
        let end = end.unwrap_or(authority.len());
        let good = |byte: &u8| IN_NAMES[usize::from(*byte)];
        if end == 0 || !authority[..end].iter().all(good) {
            return None;
        }
        end
    };
    let (host, rest) = authority.split_at(end);
    match rest {
        [] => Some((host, None)),
        [b':', port @ ..] if is_port(port) => Some((host, Some(port))),
        _ => None,
    }
}

/// An empty port is the scheme's own (RFC 3986, 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let text = std::str::from_utf8(port).unwrap_or("?");
    port.iter().all(u8::is_ascii_digit) && (text.is_empty() || text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for good in [
            "a",
            "A.example",
            "a_b.example.",
            "1.2.3.4:80",
            "a:",
            "a:65535",
            "[::1]",
            "[::1]:8080",
            "x-1~y",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a/b",
            "a, b",
            "a,b",
            "a@b",
            "a:b",
            "a:80:80",
            "a:-1",
            "a:65536",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]]",
            "[v1.a]",
            "[a]",
            "a%2fb",
            "a\\b",
            "a?b",
            "a#b",
            "a\tb",
            "é",
            "a:+1",
            "a;b",
            "\"a\"",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
        assert_eq!(host_before_port(b"a:1"), Some(&b"a"[..]));
        assert_eq!(host_before_port(b"a:"), None);
        assert_eq!(host_before_port(b"a"), None);
    }
}
