//! What happens while it goes over, and how much room there is for it.

use super::*;

#[test]
fn a_key_that_is_fetched_anew_before_its_turn_goes_over_with_all_its_variants() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    put_meta(&old, "http://a/v", varied("de"), b"deutsch");
    put_meta(&old, "http://a/v", varied("en"), b"english");
    put(&old, "http://a/refreshed", b"refreshed");
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let mut incoming = Incoming::default();
    outgoing.find(|| true);
    put_meta(&old, "http://a/v", varied("en"), b"newer");
    let refreshing = lead(&old, "http://a/refreshed");
    let mut said = Vec::new();
    let mut say = |piece: &[u8]| {
        said.push(piece.to_vec());
        Ok(())
    };
    while outgoing.next(|| true, &mut say).unwrap() {}
    outgoing.flush(say).unwrap();
    incoming.take(&new, &said.concat(), true);
    let stale = get(&old, "http://a/refreshed").unwrap();
    refreshing.refresh(&stale, meta(&["newer"])).unwrap();
    arrive(&mut outgoing, &mut incoming, &new);
    for (language, body) in [("de", &b"deutsch"[..]), ("en", b"newer")] {
        let fits = |entry: &Entry| entry.meta().vary == varied(language).vary;
        let Find::Found(entry) = new.find(&key(&new, "http://a/v"), fits) else {
            panic!("{language}");
        };
        assert_eq!(body_of(&entry), body);
    }
    let refreshed = get(&new, "http://a/refreshed").unwrap();
    assert_eq!(refreshed.meta().tags, meta(&["newer"]).tags);
    assert_eq!(new.figures().entries, 3);
}

#[test]
fn in_a_full_store_what_was_fetched_anew_takes_the_place_of_what_it_is_newer_than() {
    let (old, new) = (store(4 * MIB), store(4 * MIB));
    for number in 0..60 {
        put(&old, &format!("http://a/{number}"), &bytes(number, 100_000));
    }
    let there = |store: &Arc<Store>, number: usize| get(store, &format!("http://a/{number}"));
    let stored: Vec<_> = (0..60)
        .filter(|number| there(&old, *number).is_some())
        .collect();
    let hot = stored[stored.len() / 2];
    for _ in 0..4 {
        there(&old, hot).unwrap();
    }
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let mut incoming = Incoming::default();
    arrive(&mut outgoing, &mut incoming, &new);
    let before = new.figures().entries;
    assert!(before + 3 > stored.len() as u64, "it is full");
    // The one that is asked for most, another one, and one that nobody has asked for.
    for number in [hot, stored[3]] {
        put(&old, &format!("http://a/{number}"), &bytes(1000, 100_000));
    }
    put(&old, "http://a/cold", &bytes(1, 250_000));
    arrive(&mut outgoing, &mut incoming, &new);
    for number in [hot, stored[3]] {
        let entry = there(&new, number).unwrap_or_else(|| panic!("{number} has gone"));
        assert!(body_of(&entry) == bytes(1000, 100_000));
    }
    assert!(get(&new, "http://a/cold").is_none(), "it is not asked for");
    let figures = new.figures();
    assert!(figures.memory <= 4 * MIB as u64);
    assert!(figures.entries + 2 >= before, "{figures:?}");
}

#[test]
fn what_comes_late_is_worth_what_it_displaces() {
    let (old, new) = (store(4 * MIB), store(4 * MIB));
    let url = |number: u64| format!("http://a/{number}");
    let put = |url: &str, seed: u64, length: usize, asks: usize| {
        put(&old, url, &bytes(seed, length));
        (0..asks).for_each(|_| drop(get(&old, url)));
    };
    (0..42).for_each(|number| put(&url(number), number, 90_000, 3));
    put("http://a/grown", 1, 10, 3);
    put("http://a/cold/0", 1, 90_000, 0);
    put("http://a/cold/1", 1, 90_000, 0);
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let mut incoming = Incoming::default();
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!((new.figures().entries, incoming.refused), (45, 0));
    // In the old store there is room for more now.
    for number in 20..42 {
        old.purge(&What::Url(url(number)), Mode::Hard);
    }
    put("http://a/grown", 2, 900_000, 3);
    put("http://a/large", 3, 900_000, 3);
    // One of the cold ones has to go for it.
    let free = 4 * MIB - usize::try_from(new.figures().memory).unwrap();
    put("http://a/fits", 4, free + 40_000, 3);
    arrive(&mut outgoing, &mut incoming, &new);
    for number in 0..42 {
        let entry = get(&new, &url(number)).unwrap_or_else(|| panic!("{number} has gone"));
        assert!(body_of(&entry) == bytes(number, 90_000));
    }
    assert!(get(&new, "http://a/large").is_none(), "there is no room");
    assert!(get(&new, "http://a/grown").is_none(), "it is older");
    assert!(get(&new, "http://a/fits").is_some(), "it is asked for more");
    let cold = [0, 1].map(|number| get(&new, &format!("http://a/cold/{number}")).is_some());
    assert!(cold.contains(&true), "only as many go as have to");
    assert_eq!((incoming.refused, new.figures().evicted), (2, 1));
}

#[test]
fn how_much_a_key_is_asked_for_is_counted_once_for_all_its_variants() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    for language in ["de", "en", "fr"] {
        put_meta(&old, "http://a/v", varied(language), b"body");
    }
    for _ in 0..5 {
        get(&old, "http://a/v").unwrap();
    }
    let count = |store: &Arc<Store>| {
        let key = key(store, "http://a/v");
        let shard = store.lock(key.url_hash());
        let newest = shard
            .passing(key.hash(), key.url_hash(), |_| true)
            .pop()
            .unwrap();
        newest.heat.count
    };
    let before = count(&old);
    assert!((5..10).contains(&before), "{before}");
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    let mut incoming = Incoming::default();
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!(count(&new), before);
    put_meta(&old, "http://a/v", varied("it"), b"body");
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!(count(&new), count(&old));
}

#[test]
fn what_comes_takes_no_more_memory_than_it_may() {
    let (old, new) = (store(64 * MIB), store(64 * MIB));
    for number in 0..3000 {
        let length = 10 + number as usize * 7 % 3000;
        put(&old, &format!("http://a/{number}"), &bytes(number, length));
    }
    let empty = new.figures().memory;
    for most in [0, 1_000_000, 3_000_000] {
        let new = store(64 * MIB);
        let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
        let mut incoming = Incoming::within(&new, Some(most));
        arrive(&mut outgoing, &mut incoming, &new);
        let figures = new.figures();
        assert!(figures.memory - empty <= most, "{figures:?} of {most}");
        assert!(figures.memory - empty >= most / 2, "{figures:?} of {most}");
    }
}

#[test]
fn what_was_found_to_be_outdated_is_told_as_a_soft_purge() {
    let store = store(16 * MIB);
    let entry = put(&store, "http://a/1", b"outdated");
    store.has_heir();
    store.soften(&entry);
    let told = [(What::Url("http://a/1".into()), Mode::Soft)];
    assert_eq!(store.take_purges(), told);
    store.soften(&entry);
    store.has_no_heir();
    store.soften(&entry);
    assert!(store.take_purges().is_empty());
}

#[test]
fn what_a_response_that_is_too_large_is_newer_than_is_to_be_validated() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    let bounds = Bounds {
        largest: 1000,
        ..bounds_of(&new)
    };
    let mut outgoing = Outgoing::new(old.clone(), bounds);
    let mut incoming = Incoming::default();
    old.has_heir();
    put(&old, "http://a/1", b"small");
    put(&old, "http://a/2", &bytes(1, 2000));
    arrive(&mut outgoing, &mut incoming, &new);
    assert!(
        old.take_purges().is_empty(),
        "nothing is there that is older"
    );
    put(&old, "http://a/1", &bytes(1, 2000));
    arrive(&mut outgoing, &mut incoming, &new);
    assert_eq!((outgoing.passed, outgoing.left), (1, 2));
    let told = [(What::Url("http://a/1".into()), Mode::Soft)];
    assert_eq!(old.take_purges(), told);
}

#[test]
fn what_is_fetched_while_an_older_one_comes_over_stays() {
    let (old, new) = (store(16 * MIB), store(16 * MIB));
    put(&old, "http://a/1", b"old");
    let early = lead(&new, "http://a/1");
    let mut outgoing = Outgoing::new(old.clone(), bounds_of(&new));
    arrive(&mut outgoing, &mut Incoming::default(), &new);
    early.store(meta(&[]), b"new", Duration::ZERO).unwrap();
    assert_eq!(body_of(&get(&new, "http://a/1").unwrap()), b"new");
}
