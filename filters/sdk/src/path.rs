//! The form of a path that is compared.

use std::borrow::Cow;

/// A normalised path, as patterns and expressions compare it: `!`, `$`, `&`, `'`, `(`, `)`, `*`,
/// `+`, `,`, `;`, `=` (RFC 3986, 2.2), `:` and `@` stand for themselves in a segment, so their
/// escapes are decoded. Other escapes stay, and so does what is sent on: a server may take `%3B`
/// for something else than `;`, but a rule for the one must not be walked around with the other.
///
/// The form of this form is itself. A path without such escapes is borrowed.
pub fn path_key(path: &str) -> Cow<'_, str> {
    if !path.as_bytes().contains(&b'%') {
        return Cow::Borrowed(path); // as most are
    }
    let mut key = String::new();
    let mut rest = path;
    let mut from = 0;
    while let Some(at) = rest[from..].find('%').map(|at| from + at) {
        from = at + 1;
        if let Some(char) = escaped(&rest.as_bytes()[at..]) {
            key.push_str(&rest[..at]);
            key.push(char);
            (rest, from) = (&rest[at + 3..], 0);
        }
    }
    if rest.len() == path.len() {
        return Cow::Borrowed(path);
    }
    key.push_str(rest);
    Cow::Owned(key)
}

/// The character of this kind that an escape at the beginning stands for.
fn escaped(text: &[u8]) -> Option<char> {
    let [b'%', high, low, ..] = *text else {
        return None;
    };
    Some(match (high, low.to_ascii_uppercase()) {
        (b'2', b'1') => '!',
        (b'2', b'4') => '$',
        (b'2', b'6') => '&',
        (b'2', b'7') => '\'',
        (b'2', b'8') => '(',
        (b'2', b'9') => ')',
        (b'2', b'A') => '*',
        (b'2', b'B') => '+',
        (b'2', b'C') => ',',
        (b'3', b'A') => ':',
        (b'3', b'B') => ';',
        (b'3', b'D') => '=',
        (b'4', b'0') => '@',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_stands_for_itself_and_nothing_else() {
        for char in "!$&'()*+,;=:@".chars() {
            for escape in [
                format!("%{:02X}", u32::from(char)),
                format!("%{:02x}", u32::from(char)),
            ] {
                let path = format!("/a{escape}{escape}b/{escape}");
                assert_eq!(path_key(&path), format!("/a{char}{char}b/{char}"), "{path}");
            }
        }
        for byte in 0..=255_u8 {
            if !b"!$&'()*+,;=:@".contains(&byte) {
                let path = format!("/a%{byte:02X}");
                assert!(
                    matches!(path_key(&path), Cow::Borrowed(key) if key == path),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn is_stable_and_decodes_once() {
        for (path, key) in [
            ("/a%2540", "/a%2540"),
            ("/%20%40%20", "/%20@%20"),
            ("/%4", "/%4"),
            ("/%é%40", "/%é@"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path_key(path), key);
            assert_eq!(path_key(key), key);
        }
    }
}
