//! What keys ask for.

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// What terminals send for keys without a character.
const SEQUENCES: [(&[u8], Key); 12] = [
    (b"\x1b[A", Key::Up),
    (b"\x1bOA", Key::Up),
    (b"\x1b[B", Key::Down),
    (b"\x1bOB", Key::Down),
    (b"\x1b[5~", Key::PageUp),
    (b"\x1b[6~", Key::PageDown),
    (b"\x1b[H", Key::First),
    (b"\x1bOH", Key::First),
    (b"\x1b[1~", Key::First),
    (b"\x1b[F", Key::Last),
    (b"\x1bOF", Key::Last),
    (b"\x1b[4~", Key::Last),
];

/// The keys in what a terminal has sent; those that ask for nothing are left out. An escape by itself
/// quits.
pub(super) fn read(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        let known = SEQUENCES.iter().find_map(|(sequence, key)| {
            let rest = bytes.strip_prefix(*sequence)?;
            Some((*key, rest))
        });
        if let Some((key, rest)) = known {
            keys.push(key);
            bytes = rest;
            continue;
        }
        bytes = match (first, rest.first()) {
            (0x1b, Some(b'[' | b'O')) => after_sequence(&rest[1..]),
            (0x1b, Some(_)) => &rest[1..],
            _ => rest,
        };
        keys.extend(match first {
            b'q' | b'Q' | 0x03 | 0x04 => Some(Key::Quit),
            0x1b if rest.is_empty() => Some(Key::Quit),
            b's' => Some(Key::Sort),
            b'k' => Some(Key::Up),
            b'j' => Some(Key::Down),
            b' ' => Some(Key::PageDown),
            b'g' => Some(Key::First),
            b'G' => Some(Key::Last),
            _ => None,
        });
    }
    keys
}

/// What comes after the end of a sequence that nobody knows (ECMA-48, 5.4).
fn after_sequence(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| (0x40..=0x7e).contains(byte));
    end.map_or(&[], |end| &bytes[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_sequences_are_known_and_others_ignored() {
        for (bytes, keys) in [
            (&b"q"[..], vec![Key::Quit]),
            (b"\x03", vec![Key::Quit]),
            (b"\x1b", vec![Key::Quit]),
            (
                b"s\x1b[A\x1bOBj",
                vec![Key::Sort, Key::Up, Key::Down, Key::Down],
            ),
            (b"\x1b[5~\x1b[6~", vec![Key::PageUp, Key::PageDown]),
            (b"\x1b[H\x1b[F", vec![Key::First, Key::Last]),
            // F5, Alt-q and a key with a modifier.
            (b"\x1b[15~\x1bq\x1b[1;5A", vec![]),
            (b"\x1b[15", vec![]),
            ("zé".as_bytes(), vec![]),
        ] {
            assert_eq!(read(bytes), keys, "{bytes:?}");
        }
    }
}
