//! The bound on memory, and what stays within it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn a_store_that_is_too_small_is_refused() {
    let options = Options {
        memory: MIB - 1,
        largest: 1,
        disk: None,
    };
    let error = Store::open(options, Clock::manual()).unwrap_err();
    let text = "expected at least 1048576 bytes of memory, found 1048575";
    assert_eq!(error.to_string(), text);
}

#[test]
fn memory_stays_within_its_bound() {
    for (memory, length) in [
        (MIB, 100),
        (4 * MIB, 3_000),
        (32 * MIB, 70_000),
        (32 * MIB, 3 * MIB),
    ] {
        let store = store(memory);
        let (count, body) = (3 * memory / length.max(1_000), bytes(1, length));
        for number in 0..count {
            put(&store, &format!("http://a/{number}"), &body);
            let used = store.figures().memory as usize;
            assert!(used <= memory, "{used} of {memory}");
        }
        let figures = store.figures();
        assert!(figures.evicted > 0);
        // And it is made use of.
        assert!(figures.memory as usize > memory / 2, "{figures:?}");
        store.purge(&What::All, Mode::Hard);
        let given_back = || store.figures().memory < memory as u64 / 2;
        until("the memory is given back", given_back);
    }
}

#[test]
fn what_is_evicted_counts_for_as_long_as_it_is_read() {
    let store = store(4 * MIB);
    let empty = store.figures().memory;
    let held: Vec<_> = (0..4)
        .map(|number| {
            let mut fill = lead(&store, &format!("http://a/{number}"))
                .fill(meta(&[]), Some(MIB as u64 * 9 / 10), Duration::ZERO)
                .unwrap();
            fill.push(&bytes(1, MIB * 9 / 10)).unwrap();
            fill.finish().unwrap().reader()
        })
        .collect();
    let mut fill = lead(&store, "http://a/9")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    assert_eq!(fill.push(&bytes(2, MIB)), Err(Refused::NoRoom));
    fill.abandon(Duration::ZERO, &Refused::TooLarge);
    drop(held);
    assert!(store.figures().memory < empty + 4096);
    put(&store, "http://a/9", &bytes(2, MIB));
}

/// A body of one piece is a part of its entry's memory.
#[test]
fn what_is_removed_counts_for_as_long_as_a_piece_of_it_is_held() {
    let store = store(4 * MIB);
    let empty = store.figures().memory;
    let entry = put(&store, "http://a/1", &bytes(1, 50_000));
    store.remove(&entry);
    let piece = entry.reader_of(49_990, 60_000).ready().unwrap().unwrap();
    let charged = || store.figures().memory - empty > 50_000;
    drop(entry);
    assert!(charged() && piece.as_deref() == Some(&bytes(1, 50_000)[49_990..]));
    drop(piece);
    assert!(!charged());
}

#[test]
fn one_part_of_the_index_does_not_starve_for_the_others() {
    // Large entries are few: some parts get more of them than others.
    let store = store(64 * MIB);
    let body = bytes(1, 3 * MIB);
    for number in 0..100 {
        put(&store, &format!("http://a/{number}"), &body);
        let newest = get(&store, &format!("http://a/{number}"));
        assert!(newest.is_some(), "{number}");
    }
}

/// The part of requests that were answered, for keys drawn by `draw`.
fn hits(memory: usize, requests: usize, mut draw: impl FnMut(usize) -> u64) -> f64 {
    let store = store(memory);
    let (mut hits, body) = (0, bytes(1, 1_000));
    for number in 0..requests {
        let url = format!("http://a/{}", draw(number));
        match get(&store, &url) {
            Some(_) => hits += 1,
            None => drop(put(&store, &url, &body)),
        }
    }
    f64::from(hits) / requests as f64
}

#[test]
fn a_scan_does_not_displace_what_is_asked_for_again_and_again() {
    let mut random = fastrand::Rng::with_seed(7);
    // One request in two is for one of 500 popular keys; each other one for a key of its own. About
    // 1,200 entries fit: the most recent ones alone would often be of the scan.
    let mut last = 1_000_000;
    let ratio = hits(3 * MIB, 40_000, |_| match random.bool() {
        true => random.u64(..500),
        false => {
            last += 1;
            last
        }
    });
    assert!(ratio > 0.47, "{ratio}");
}

#[test]
fn popular_keys_stay() {
    let mut random = fastrand::Rng::with_seed(7);
    // By Zipf's law over 20,000 keys, some 1,200 of which fit.
    let weights: Vec<f64> = (1..=20_000).map(|rank| 1.0 / f64::from(rank)).collect();
    let total: f64 = weights.iter().sum();
    let sums: Vec<f64> = weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight / total;
            Some(*sum)
        })
        .collect();
    let ratio = hits(3 * MIB, 60_000, |_| {
        let drawn = random.f64();
        sums.partition_point(|sum| *sum < drawn) as u64
    });
    // With all of the 1,200 most popular keys in it, it would be 0.73; with the most recent ones 0.62.
    assert!(ratio > 0.66, "{ratio}");
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u16, u8),
    Abort(u8),
    Get(u8),
    Refresh(u8, u8),
    Purge(u8, u8, bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..12_u8, any::<u16>(), 0..4_u8).prop_map(|(url, body, tag)| Act::Put(url, body, tag)),
        1 => (0..12_u8).prop_map(Act::Abort),
        4 => (0..12_u8).prop_map(Act::Get),
        2 => (0..12_u8, 0..4_u8).prop_map(|(url, tag)| Act::Refresh(url, tag)),
        1 => (0..4_u8, 0..12_u8, any::<bool>()).prop_map(|(what, of, hard)| Act::Purge(what, of, hard)),
    ]
}

fn url(number: u8) -> String {
    // Two hosts, so that prefixes tell some from others.
    format!("http://{}/{number}", number % 2)
}

#[derive(Clone, Debug, PartialEq)]
struct Simple {
    body: u16,
    tag: u8,
    soft: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    /// With room for everything, a store does what a map would do.
    #[test]
    fn a_store_is_a_map_with_purges(acts in prop::collection::vec(act(), 1..120)) {
        let store = store(32 * MIB);
        let mut model: HashMap<u8, Simple> = HashMap::new();
        for act in acts {
            match act {
                Act::Put(number, body, tag) => {
                    let meta = meta(&[&tag.to_string()]);
                    put_meta(&store, &url(number), meta, &bytes(body.into(), body.into()));
                    model.insert(number, Simple { body, tag, soft: false });
                }
                Act::Abort(number) => {
                    let mut fill = lead(&store, &url(number)).fill(meta(&["9"]), None, Duration::ZERO).unwrap();
                    fill.push(b"half").unwrap();
                }
                Act::Get(number) => check(&store, number, model.get(&number)),
                Act::Refresh(number, tag) => {
                    if let Some(old) = get(&store, &url(number)) {
                        let meta = meta(&[&tag.to_string()]);
                        lead(&store, &url(number)).refresh(&old, meta).unwrap();
                        let simple = model.get_mut(&number).unwrap();
                        (simple.tag, simple.soft) = (tag, false);
                    }
                }
                Act::Purge(what, of, hard) => purge(&store, &mut model, what, of, hard),
            }
        }
        for number in 0..12 {
            check(&store, number, model.get(&number));
        }
        prop_assert_eq!(store.figures().entries, model.len() as u64);
    }
}

fn check(store: &Store, number: u8, expected: Option<&Simple>) {
    let found = get(store, &url(number));
    assert_eq!(found.is_some(), expected.is_some());
    if let (Some(found), Some(expected)) = (found, expected) {
        let body = bytes(expected.body.into(), expected.body.into());
        assert_eq!(ready(found.reader()).unwrap(), body);
        assert_eq!(*found.meta().tags[0], *expected.tag.to_string());
        assert_eq!(found.is_purged(), expected.soft);
    }
}

fn purge(store: &Arc<Store>, model: &mut HashMap<u8, Simple>, what: u8, of: u8, hard: bool) {
    type Hits = Box<dyn Fn(u8, &Simple) -> bool>;
    let (what, hits): (What, Hits) = match what {
        0 => (What::Url(url(of)), Box::new(move |number, _| number == of)),
        1 => {
            let prefix = format!("http://{}/", of % 2);
            (
                What::Prefix(prefix),
                Box::new(move |number, _| number % 2 == of % 2),
            )
        }
        2 => (
            What::Tag((of % 4).to_string()),
            Box::new(move |_, simple| simple.tag == of % 4),
        ),
        _ => (What::All, Box::new(|_, _| true)),
    };
    let mut hit = 0;
    model.retain(|number, simple| {
        let hits = hits(*number, simple);
        hit += usize::from(hits && (hard || !simple.soft));
        simple.soft |= hits;
        !(hits && hard)
    });
    let mode = if hard { Mode::Hard } else { Mode::Soft };
    assert_eq!(store.purge(&what, mode), hit);
}

#[test]
fn threads_that_do_everything_at_once_leave_a_store_that_adds_up() {
    let store = store(4 * MIB);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..1_500 {
                    one_of_everything(store, &mut random);
                }
            });
        }
    });
    let figures = store.figures();
    assert!(figures.memory <= 4 * MIB as u64, "{figures:?}");
    store.purge(&What::All, Mode::Hard);
    assert_eq!(store.figures().entries, 0);
    let empty = super::store(4 * MIB).figures().memory;
    // The tables keep what they have grown to.
    let given_back = || store.figures().memory < empty + 600_000;
    until("the memory is given back", given_back);
}

fn one_of_everything(store: &Arc<Store>, random: &mut fastrand::Rng) {
    let number = random.u64(..200);
    let url = format!("http://a/{number}");
    match random.u32(..100) {
        0 => drop(store.purge(&What::Tag((number % 10).to_string()), Mode::Hard)),
        1 => drop(store.purge(&What::Url(url), Mode::Soft)),
        2..10 => {
            let join = store.join(&key(store, &url), Asker::Anybody, |_| random.bool());
            if let Join::Lead(lead) = join {
                store_at_once(lead, number);
            }
        }
        10..30 => {
            let body = bytes(number, number as usize * 300);
            let meta = meta(&[&(number % 10).to_string()]);
            if let Join::Lead(lead) =
                store.join(&key(store, &url), Asker::Anybody, |_| random.bool())
                && let Ok(mut fill) = lead.fill(
                    meta,
                    random.bool().then_some(body.len() as u64),
                    Duration::ZERO,
                )
            {
                let pushed = body.chunks(10_000).all(|piece| fill.push(piece).is_ok());
                if pushed && random.u32(..10) > 0 {
                    drop(fill.finish());
                }
            }
        }
        30..35 => {
            if let Some(old) = get(store, &url)
                && let Join::Lead(lead) = store.join(&key(store, &url), Asker::Anybody, |_| false)
            {
                let meta = meta(&[&(number % 10).to_string()]);
                drop(lead.refresh(&old, meta));
            }
        }
        _ => {
            if let Some(entry) = get(store, &url)
                && !entry.is_filling()
                && let Ok(read) = ready(entry.reader())
            {
                assert_eq!(read, bytes(number, number as usize * 300));
            }
        }
    }
}

fn store_at_once(lead: Lead, number: u64) {
    let meta = meta(&[&(number % 10).to_string()]);
    drop(lead.store(meta, &bytes(number, number as usize * 300), Duration::ZERO));
}

#[tokio::test]
async fn large_bodies_that_come_in_leave_room_for_what_is_asked_for() {
    let store = store(8 * MIB);
    let hot = |number: usize| format!("http://a/hot/{number}");
    for number in 0..100 {
        put(&store, &hot(number), &bytes(number as u64, 20_000));
    }
    for _ in 0..3 {
        assert!((0..100).all(|number| get(&store, &hot(number)).is_some()));
    }
    let mut fills = Vec::new();
    for number in 0..16 {
        let lead = lead(&store, &format!("http://a/large/{number}"));
        match lead.fill(meta(&[]), Some(MIB as u64), Duration::ZERO) {
            Ok(mut fill) => {
                // All but the last byte: it goes on coming in.
                fill.push(&bytes(number, MIB - 1)).unwrap();
                fills.push(fill);
            }
            Err(why) => assert_eq!(why, Refused::NoRoom),
        }
    }
    assert_eq!(fills.len(), 4);
    assert!((0..100).all(|number| get(&store, &hot(number)).is_some()));
    // Small ones come in meanwhile; large ones again when others have gone.
    put(&store, "http://a/small", b"body");
    assert!(get(&store, "http://a/small").is_some());
    drop(fills);
    let fill = lead(&store, "http://a/large/99").fill(meta(&[]), Some(MIB as u64), Duration::ZERO);
    assert!(fill.is_ok());
}

#[test]
fn what_there_is_no_room_for_is_tried_now_and_then() {
    let (store, clock) = timed(8 * MIB);
    let (remember, length) = (Duration::from_secs(5), Some(2 * MIB as u64));
    let mut fills = Vec::new();
    for number in 0..2 {
        let lead = lead(&store, &format!("http://a/{number}"));
        fills.push(lead.fill(meta(&[]), length, remember).unwrap());
    }
    let key = key(&store, "http://a/9");
    let join = || store.join(&key, Asker::Anybody, |_| false);
    for _ in 0..3 {
        let Join::Lead(lead) = join() else {
            panic!("one may try");
        };
        assert!(matches!(join(), Join::Wait(_)));
        let refused = lead.fill(meta(&[]), length, remember).unwrap_err();
        assert_eq!(refused, Refused::NoRoom);
        // One tries once more, and nobody waits for it; then a while nobody does.
        let Join::Lead(lead) = join() else {
            panic!("one may try");
        };
        assert!(matches!(join(), Join::Alone));
        assert!(lead.fill(meta(&[]), length, remember).is_err());
        assert!(matches!(join(), Join::Alone));
        clock.advance(Duration::from_secs(5));
    }
    drop(fills);
    let Join::Lead(lead) = join() else {
        panic!("nothing is remembered any more");
    };
    lead.fill(meta(&[]), Some(0), remember)
        .unwrap()
        .finish()
        .unwrap();
    assert!(get(&store, "http://a/9").is_some());
}
