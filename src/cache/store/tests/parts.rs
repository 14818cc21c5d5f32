//! The parts of a store, each behind a lock of its own.

use std::sync::mpsc::channel;

use super::*;

fn url(number: usize) -> String {
    format!("http://a/{number}")
}

/// Which part a URL is in, as the place of what its lock guards.
fn part(store: &Store, url: &str) -> usize {
    std::ptr::from_ref(&*store.lock(key(store, url).url_hash())).addr()
}

#[test]
fn urls_are_spread_over_all_parts() {
    let store = store(64 * MIB);
    // Four for each processor, where there is memory for them.
    let parts = store.options().shards();
    assert!(parts > 1 && parts <= 16 && parts.is_power_of_two());
    let mut counts = std::collections::HashMap::new();
    for number in 0..parts * 100 {
        *counts.entry(part(&store, &url(number))).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), parts);
    // A hundred each; chance does not make it half or double.
    assert!(counts.values().all(|count| (50..200).contains(count)));
}

#[test]
fn whoever_has_one_part_holds_up_none_of_the_others() {
    let store = store(64 * MIB);
    let held = url(0);
    let place = part(&store, &held);
    let others = (1..500).map(url).filter(|url| part(&store, url) != place);
    let others: Vec<String> = others.collect();
    assert!(others.len() > 300);

    let guard = store.lock(key(&store, &held).url_hash());
    std::thread::scope(|scope| {
        let (told, hear) = channel();
        let store = &store;
        scope.spawn(move || {
            for url in &others {
                assert!(get(store, url).is_none());
                let old = put(store, url, b"body");
                lead(store, url).refresh(&old, meta(&["tag"])).unwrap();
                assert_eq!(store.purge(&What::Url(url.clone()), Mode::Soft), 1);
                assert_eq!(&*get(store, url).unwrap().meta().tags[0], "tag");
            }
            told.send(()).unwrap();
        });
        let done = hear.recv_timeout(Duration::from_secs(60));
        // Or nobody would see this fail.
        drop(guard);
        assert!(done.is_ok(), "somebody waits for a part that is not theirs");
    });
}
