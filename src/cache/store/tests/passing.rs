//! What is stored goes over to a store of another process.

use std::cell::Cell;
use std::io;

use proptest::prelude::*;

use super::*;

/// What `outgoing` says, where there is time.
fn said(outgoing: &mut Outgoing, in_time: bool) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let pass = outgoing.pass(
        || in_time,
        |piece| {
            said.push(piece.to_vec());
            Ok(())
        },
    );
    pass.unwrap();
    said
}

fn bounds_of(store: &Store) -> Bounds {
    Bounds {
        memory: store.options().memory as u64,
        largest: store.largest(),
    }
}

/// All that the first store has goes over to the second.
fn hand_over(from: &Arc<Store>, to: &Arc<Store>) -> Incoming {
    let mut incoming = Incoming::default();
    let mut outgoing = Outgoing::new(from.clone(), bounds_of(to));
    let said = said(&mut outgoing, true);
    for (number, piece) in said.iter().enumerate() {
        incoming.take(to, piece, number == 0);
    }
    incoming
}

fn body_of(entry: &Entry) -> Vec<u8> {
    ready(entry.reader()).unwrap()
}

#[test]
fn entries_are_there_as_they_were_and_can_be_purged() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    assert_ne!(old.seed, new.seed);
    // No bytes, one block and no more, some blocks; tags; two variants; one that is stale.
    for (number, length) in [0, 64 * 1024, 300_000].into_iter().enumerate() {
        let tags = meta(&["all", &number.to_string()]);
        put_meta(
            &old,
            &format!("http://a/{number}"),
            tags,
            &bytes(number as u64, length),
        );
    }
    put_meta(&old, "http://a/v", varied("de"), b"deutsch");
    put_meta(&old, "http://a/v", varied("en"), b"english");
    put(&old, "http://a/soft", b"soft");
    old.purge(&What::Url("http://a/soft".into()), Mode::Soft);
    put(&old, "http://a/gone", b"gone");
    old.purge(&What::Url("http://a/gone".into()), Mode::Hard);
    let incoming = hand_over(&old, &new);
    assert_eq!((incoming.taken, incoming.refused), (6, 0));
    assert!(!incoming.is_unreadable);
    assert_eq!(new.figures().entries, 6);
    for (number, length) in [0, 64 * 1024, 300_000].into_iter().enumerate() {
        let entry = get(&new, &format!("http://a/{number}")).unwrap();
        assert!(body_of(&entry) == bytes(number as u64, length));
        assert_eq!(entry.meta().times, meta(&[]).times);
        assert_eq!(entry.meta().marks, 5);
        assert_eq!(entry.meta().head.headers["x-made"], "by hand");
        assert!(!entry.is_purged());
    }
    for (language, body) in [("de", &b"deutsch"[..]), ("en", b"english")] {
        let fits = |entry: &Entry| entry.meta().vary == varied(language).vary;
        let Find::Found(entry) = new.find(&key(&new, "http://a/v"), fits) else {
            panic!("{language}");
        };
        assert_eq!(body_of(&entry), body);
    }
    // Of those that fit, the newest.
    assert_eq!(body_of(&get(&new, "http://a/v").unwrap()), b"english");
    assert!(get(&new, "http://a/soft").unwrap().is_purged());
    assert!(get(&new, "http://a/gone").is_none());
    assert_eq!(new.purge(&What::Tag("1".into()), Mode::Hard), 1);
    assert!(get(&new, "http://a/1").is_none());
    assert_eq!(new.purge(&What::Prefix("http://a/".into()), Mode::Hard), 5);
    // The old one goes on with what it has.
    assert!(get(&old, "http://a/1").is_some());
}

#[test]
fn what_is_asked_for_most_goes_over_first_and_stays() {
    let (old, new) = (store(64 * MIB), store(4 * MIB));
    let hot = |number: usize| number % 10 == 3;
    for number in 0..200 {
        put(
            &old,
            &format!("http://a/{number}"),
            &bytes(number as u64, 100_000),
        );
    }
    for _ in 0..4 {
        for number in (0..200).filter(|number| hot(*number)) {
            get(&old, &format!("http://a/{number}")).unwrap();
        }
    }
    let incoming = hand_over(&old, &new);
    let there = |number: usize| {
        let peeked = new.lock(key(&new, &format!("http://a/{number}")).url_hash());
        peeked
            .peek(&key(&new, &format!("http://a/{number}")), |_| true)
            .is_some()
    };
    let count = (0..200).filter(|number| there(*number)).count();
    let figures = new.figures();
    assert_eq!(count as u64 + figures.evicted, incoming.taken);
    assert!(
        figures.evicted <= 3,
        "for tables that have grown: {figures:?}"
    );
    assert!((30..42).contains(&count), "{count}");
    assert!((0..200).filter(|number| hot(*number)).all(there));
    assert!(figures.memory <= 4 * MIB as u64);
    // A scan of what nobody asks for again displaces none of them.
    for number in 1000..1200 {
        put(
            &new,
            &format!("http://a/{number}"),
            &bytes(number as u64, 100_000),
        );
    }
    assert!((0..200).filter(|number| hot(*number)).all(there));
}

#[test]
fn what_has_no_time_or_room_stays_and_what_came_meanwhile_follows() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    for number in 0..4 {
        put(&old, &format!("http://a/{number}"), &bytes(number, 10_000));
    }
    put(&old, "http://a/large", &bytes(9, 200_000));
    let mut filling = lead(&old, "http://a/filling")
        .fill(meta(&[]), Some(4), Duration::ZERO)
        .unwrap();
    let leading = lead(&old, "http://a/leading");
    let mut outgoing = Outgoing::new(
        old.clone(),
        Bounds {
            largest: 100_000,
            ..bounds_of(&new)
        },
    );
    let mut incoming = Incoming::default();
    for piece in said(&mut outgoing, true) {
        incoming.take(&new, &piece, true);
    }
    assert_eq!((outgoing.passed, outgoing.left, incoming.taken), (4, 1, 4));
    // Newer ones, among them those that were coming.
    put(&old, "http://a/1", b"newer");
    filling.push(b"late").unwrap();
    filling.finish().unwrap();
    let mut fill = leading.fill(meta(&[]), Some(5), Duration::ZERO).unwrap();
    fill.push(b"later").unwrap();
    fill.finish().unwrap();
    for piece in said(&mut outgoing, true) {
        incoming.take(&new, &piece, true);
    }
    // Whether or not the part of the index that they are in had anything before.
    assert_eq!(outgoing.passed, 7);
    for (url, body) in [("1", "newer"), ("filling", "late"), ("leading", "later")] {
        let entry = get(&new, &format!("http://a/{url}")).unwrap();
        assert_eq!(body_of(&entry), body.as_bytes());
    }
    assert_eq!(new.figures().entries, 6);
    assert!(said(&mut outgoing, true).is_empty(), "there is nothing new");
    let mut late = Outgoing::new(old.clone(), bounds_of(&new));
    assert!(said(&mut late, false).is_empty());
    assert_eq!((late.passed, late.left), (0, 7));
    late.limit(0);
    assert_eq!(late.weight(), 0);
    assert!(said(&mut late, true).is_empty());
}

#[test]
fn an_entry_that_finds_no_room_takes_what_it_is_newer_than_along() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    put(&old, "http://a/1", b"old");
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let mut incoming = Incoming::default();
    for piece in said(&mut outgoing, true) {
        incoming.take(&new, &piece, true);
    }
    assert!(get(&new, "http://a/1").is_some());
    // Larger than what is stored there.
    let options = Options {
        largest: 8 * MIB as u64,
        ..old.options().clone()
    };
    let wide = Store::open(options, Clock::manual()).unwrap();
    put(&wide, "http://a/1", &bytes(1, 5 * MIB));
    let mut outgoing = Outgoing::new(
        wide,
        Bounds {
            memory: u64::MAX,
            largest: u64::MAX,
        },
    );
    for (number, piece) in said(&mut outgoing, true).iter().enumerate() {
        incoming.take(&new, piece, number == 0);
    }
    assert_eq!((incoming.taken, incoming.refused), (1, 1));
    assert!(get(&new, "http://a/1").is_none());
    assert_eq!(new.figures().entries, 0);
}

#[test]
fn a_body_that_time_cuts_off_is_left_and_what_follows_anew_is_whole() {
    let (old, new) = (store(64 * MIB), store(64 * MIB));
    put(&old, "http://a/long", &bytes(1, 10 * MIB));
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let (mut incoming, mut begins, pieces) = (Incoming::default(), true, Cell::new(0));
    let pass = outgoing.pass(
        || pieces.get() < 3,
        |piece| {
            incoming.take(&new, piece, std::mem::replace(&mut begins, false));
            pieces.set(pieces.get() + 1);
            Ok(())
        },
    );
    pass.unwrap();
    assert_eq!(pieces.get(), 3, "it has begun");
    assert_eq!((outgoing.passed, outgoing.left, incoming.taken), (0, 1, 0));
    put(&old, "http://a/short", b"short");
    for piece in said(&mut outgoing, true) {
        incoming.take(&new, &piece, true);
    }
    assert_eq!((outgoing.passed, incoming.taken), (1, 1));
    assert!(!incoming.is_unreadable);
    assert_eq!(body_of(&get(&new, "http://a/short").unwrap()), b"short");
    assert!(get(&new, "http://a/long").is_none());
}

#[test]
fn a_line_that_breaks_is_told_and_nothing_more_is_said() {
    let old = store(16 * MIB);
    for number in 0..40 {
        put(&old, &format!("http://a/{number}"), &bytes(number, 100_000));
    }
    let mut outgoing = Outgoing::new(
        old,
        Bounds {
            memory: u64::MAX,
            largest: u64::MAX,
        },
    );
    let mut said = 0;
    let broken = outgoing.pass(
        || true,
        |_| {
            said += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        },
    );
    assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(said, 1);
}

#[tokio::test]
async fn entries_go_over_to_a_store_with_a_disk_and_outlive_what_is_older_there() {
    let folder = tempfile::tempdir().unwrap();
    let new = open(folder.path(), 16 * MIB, 32 * MIB);
    put(&new, "http://a/1", b"on disk");
    put(&new, "http://a/2", b"on disk as well");
    new.settled().await.unwrap();
    drop(new);
    let new = open(folder.path(), 16 * MIB, 32 * MIB);
    let old = store(16 * MIB);
    put(&old, "http://a/1", b"newer");
    put(&old, "http://a/3", b"another");
    assert_eq!(hand_over(&old, &new).taken, 2);
    new.settled().await.unwrap();
    drop(new);
    let new = open(folder.path(), 16 * MIB, 32 * MIB);
    for (url, body) in [("1", "newer"), ("2", "on disk as well"), ("3", "another")] {
        let entry = fetch(&new, &format!("http://a/{url}")).await.unwrap();
        assert_eq!(read(entry.reader()).await.unwrap(), body.as_bytes());
    }
}

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
