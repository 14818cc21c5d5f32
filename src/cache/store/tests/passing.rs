//! What is stored goes over to a store of another process.

use std::cell::Cell;
use std::io;

use super::*;

mod mangled;
mod meanwhile;

/// Finds what there is, and says all of it, as long as there is time.
fn pass(
    outgoing: &mut Outgoing,
    in_time: impl Fn() -> bool,
    mut say: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    outgoing.find(&in_time);
    while outgoing.next(&in_time, &mut say)? {}
    outgoing.flush(say)
}

/// What `outgoing` says, where there is time.
fn said(outgoing: &mut Outgoing, in_time: bool) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let pass = pass(
        outgoing,
        || in_time,
        |piece| {
            said.push(piece.to_vec());
            Ok(())
        },
    );
    pass.unwrap();
    said
}

/// What `outgoing` says goes to this store.
fn arrive(outgoing: &mut Outgoing, incoming: &mut Incoming, to: &Arc<Store>) {
    for (number, piece) in said(outgoing, true).iter().enumerate() {
        incoming.take(to, piece, number == 0);
    }
}

fn bounds_of(store: &Store) -> Bounds {
    Bounds {
        memory: store.options().memory as u64,
        largest: store.largest(),
    }
}

/// All that the first store has goes over to the second.
pub(super) fn hand_over(from: &Arc<Store>, to: &Arc<Store>) -> Incoming {
    let mut incoming = Incoming::default();
    let mut outgoing = Outgoing::new(from.clone(), bounds_of(to));
    arrive(&mut outgoing, &mut incoming, to);
    incoming
}

fn body_of(entry: &Arc<Entry>) -> Vec<u8> {
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
        assert_eq!(entry.meta().head.response().headers["x-made"], "by hand");
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
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!((outgoing.passed, outgoing.left, incoming.taken), (4, 1, 4));
    // Newer ones, among them those that were coming.
    put(&old, "http://a/1", b"newer");
    filling.push(b"late").unwrap();
    filling.finish().unwrap();
    let mut fill = leading.fill(meta(&[]), Some(5), Duration::ZERO).unwrap();
    fill.push(b"later").unwrap();
    fill.finish().unwrap();
    arrive(&mut outgoing, &mut incoming, &new);
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
    arrive(&mut outgoing, &mut incoming, &new);
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
    arrive(&mut outgoing, &mut incoming, &new);
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
    let pass = pass(
        &mut outgoing,
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
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!((outgoing.passed, incoming.taken), (1, 1));
    assert!(!incoming.is_unreadable);
    assert_eq!(body_of(&get(&new, "http://a/short").unwrap()), b"short");
    assert!(get(&new, "http://a/long").is_none());
}

#[test]
fn what_was_ready_to_be_said_when_the_time_was_over_is_said() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    for number in 0..100 {
        put(&old, &format!("http://a/{number}"), &bytes(number, 1000));
    }
    let mut outgoing = Outgoing::new(old, bounds_of(&new));
    outgoing.find(|| true);
    let mut incoming = Incoming::default();
    let mut say = |piece: &[u8]| {
        incoming.take(&new, piece, true);
        Ok(())
    };
    for _ in 0..60 {
        assert!(outgoing.next(|| true, &mut say).unwrap());
    }
    // In the midst of one.
    let looks = Cell::new(0);
    let in_time = || looks.replace(1) == 0;
    assert!(!outgoing.next(in_time, &mut say).unwrap());
    outgoing.flush(say).unwrap();
    assert_eq!((outgoing.passed, outgoing.left), (60, 40));
    assert_eq!(incoming.taken, 60);
    assert!(!incoming.is_unreadable);
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
    let broken = pass(
        &mut outgoing,
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
