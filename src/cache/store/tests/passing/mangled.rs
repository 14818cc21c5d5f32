//! What arrives may be anything.

use proptest::prelude::*;

use super::*;

/// What one store says of some entries, and what is in them.
fn stream() -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let old = store(16 * MIB);
    let mut all = Vec::new();
    for (number, length) in [10, 0, 70_000, 300, 150_000].into_iter().enumerate() {
        let (url, body) = (format!("http://a/{number}"), bytes(number as u64, length));
        put_meta(&old, &url, meta(&["t"]), &body);
        all.push((url, body.to_vec()));
    }
    let mut outgoing = Outgoing::new(
        old,
        Bounds {
            memory: u64::MAX,
            largest: u64::MAX,
        },
    );
    (said(&mut outgoing, true).concat(), all)
}

#[derive(Clone, Debug)]
enum Harm {
    None,
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, u16),
    Repeat(prop::sample::Index, u16),
    Insert(prop::sample::Index, Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        Just(Harm::None),
        (at(), 1..=255_u8).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        at().prop_map(Harm::Cut),
        (at(), 1..500_u16).prop_map(|(at, length)| Harm::Drop(at, length)),
        (at(), 1..500_u16).prop_map(|(at, length)| Harm::Repeat(at, length)),
        (at(), prop::collection::vec(any::<u8>(), 1..200))
            .prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
    ]
}

fn harmed(mut bytes: Vec<u8>, harm: &Harm) -> Vec<u8> {
    let length = bytes.len();
    let end = |from: usize, more: u16| (from + usize::from(more)).min(length);
    match harm {
        Harm::None => {}
        Harm::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Harm::Cut(at) => bytes.truncate(at.index(length)),
        Harm::Drop(at, more) => {
            let from = at.index(length);
            bytes.drain(from..end(from, *more));
        }
        Harm::Repeat(at, more) => {
            let from = at.index(length);
            let again = bytes[from..end(from, *more)].to_vec();
            bytes.splice(from..from, again);
        }
        Harm::Insert(at, more) => {
            let from = at.index(length);
            bytes.splice(from..from, more.iter().copied());
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn whatever_arrives_in_whatever_pieces_is_what_was_sent_or_nothing(
        harm in harm(),
        piece in 1..200_000_usize,
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (whole, all) = stream();
        let is_whole = matches!(harm, Harm::None);
        let bytes = harmed(whole, &harm);
        let new = store(16 * MIB);
        let mut incoming = Incoming::default();
        // What comes before a stream begins anew is nothing to it.
        incoming.take(&new, &noise, false);
        let mut begins = true;
        for piece in bytes.chunks(piece) {
            incoming.take(&new, piece, std::mem::replace(&mut begins, false));
        }
        let mut there = 0;
        for (url, body) in &all {
            if let Some(entry) = get(&new, url) {
                there += 1;
                prop_assert!(body_of(&entry) == *body);
                prop_assert_eq!(entry.meta().times, meta(&[]).times);
            }
        }
        prop_assert_eq!(there, new.figures().entries);
        prop_assert!(!is_whole || there == 5);
        prop_assert_eq!(incoming.taken, there);
    }
}
