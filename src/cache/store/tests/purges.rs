//! Purges, and what they hit.

use super::super::shard::Newcomer;
use super::*;

fn left(store: &Store) -> Vec<&'static str> {
    let all = ["http://a/1", "http://a/12", "http://a/2", "http://b/1"];
    let there = all.into_iter().filter(|url| get(store, url).is_some());
    there.collect()
}

fn filled() -> Arc<Store> {
    let store = store(32 * MIB);
    put_meta(&store, "http://a/1", meta(&["x", "y"]), b"1");
    put_meta(&store, "http://a/12", meta(&["y"]), b"12");
    put_meta(&store, "http://a/2", meta(&[]), b"2");
    put_meta(&store, "http://b/1", meta(&["x"]), b"3");
    store
}

#[test]
fn a_purge_hits_what_it_names_and_nothing_else() {
    let url = |text: &str| What::Url(text.into());
    let prefix = |text: &str| What::Prefix(text.into());
    let tag = |text: &str| What::Tag(text.into());
    let [one, twelve, two, other] = ["http://a/1", "http://a/12", "http://a/2", "http://b/1"];
    for (what, after) in [
        (url(one), vec![twelve, two, other]),
        (url("http://a/"), vec![one, twelve, two, other]),
        (prefix("http://a/1"), vec![two, other]),
        (prefix(""), vec![]),
        (tag("x"), vec![twelve, two]),
        (tag("y"), vec![two, other]),
        (tag("z"), vec![one, twelve, two, other]),
        (What::All, vec![]),
    ] {
        let store = filled();
        assert_eq!(store.purge(&what, Mode::Hard), 4 - after.len(), "{what:?}");
        assert_eq!(left(&store), after, "{what:?}");

        let store = filled();
        assert_eq!(store.purge(&what, Mode::Soft), 4 - after.len(), "{what:?}");
        assert_eq!(left(&store).len(), 4, "{what:?}");
        let stale = [one, twelve, two, other].map(|url| get(&store, url).unwrap().is_purged());
        let fresh = stale.iter().filter(|stale| !**stale).count();
        assert_eq!(fresh, after.len(), "{what:?}");
        assert_eq!(store.purge(&what, Mode::Soft), 0, "{what:?} again");
    }
}

#[test]
fn a_url_is_purged_whatever_else_its_keys_have() {
    let store = store(32 * MIB);
    for number in 0..100_u8 {
        let key = store.key("http://a/1", &[&[number]]);
        let Join::Lead(lead) = store.join(&key, Asker::Anybody, |_| true) else {
            panic!("expected the lead");
        };
        lead.fill(meta(&[]), Some(0), Duration::ZERO)
            .unwrap()
            .finish()
            .unwrap();
    }
    put(&store, "http://a/2", b"");
    assert_eq!(
        store.purge(&What::Url("http://a/1".into()), Mode::Hard),
        100
    );
    assert_eq!(store.figures().entries, 1);
}

#[test]
fn a_purge_hits_a_fetch_that_began_before_it() {
    for what in [
        What::Url("http://a/1".into()),
        What::Prefix("http://a".into()),
        What::Tag("x".into()),
        What::All,
    ] {
        // Before the head is known.
        let store = store(8 * MIB);
        let early = lead(&store, "http://a/1");
        store.purge(&what, Mode::Hard);
        let refused = early.fill(meta(&["x"]), None, Duration::ZERO);
        assert_eq!(refused.err(), Some(Refused::Purged), "{what:?}");
        assert!(get(&store, "http://a/1").is_none());

        // While the body comes: nobody new finds it, those who have it read it to its end.
        let mut fill = lead(&store, "http://a/1")
            .fill(meta(&["x"]), None, Duration::ZERO)
            .unwrap();
        let reader = fill.entry().reader();
        fill.push(b"bo").unwrap();
        assert_eq!(store.purge(&what, Mode::Hard), 1);
        assert!(get(&store, "http://a/1").is_none());
        fill.push(b"dy").unwrap();
        assert_eq!(fill.finish().err(), Some(Refused::Purged));
        assert_eq!(ready(reader).unwrap(), b"body");
        assert!(get(&store, "http://a/1").is_none());

        // Softly, in both cases.
        let early = lead(&store, "http://a/1");
        store.purge(&what, Mode::Soft);
        let fill = early.fill(meta(&["x"]), None, Duration::ZERO).unwrap();
        assert!(fill.finish().unwrap().is_purged(), "{what:?}");
        let fill = lead(&store, "http://a/1")
            .fill(meta(&["x"]), None, Duration::ZERO)
            .unwrap();
        store.purge(&what, Mode::Soft);
        assert!(fill.finish().unwrap().is_purged(), "{what:?}");

        // A validation is a fetch, too.
        let old = put_meta(&store, "http://a/1", meta(&["x"]), b"body");
        let validation = lead(&store, "http://a/1");
        store.purge(&what, Mode::Soft);
        assert!(validation.refresh(&old, meta(&["x"])).unwrap().is_purged());
        let old = get(&store, "http://a/1").unwrap();
        let validation = lead(&store, "http://a/1");
        store.purge(&what, Mode::Hard);
        assert!(validation.refresh(&old, meta(&["x"])).is_err(), "{what:?}");
        assert!(get(&store, "http://a/1").is_none());
    }
}

#[test]
fn a_purge_does_not_hit_a_fetch_of_something_else() {
    let store = store(8 * MIB);
    let other = lead(&store, "http://b/1");
    store.purge(&What::Prefix("http://a".into()), Mode::Hard);
    store.purge(&What::Tag("x".into()), Mode::Hard);
    store.purge(&What::Url("http://b/".into()), Mode::Hard);
    let fill = other.fill(meta(&["y"]), None, Duration::ZERO).unwrap();
    fill.finish().unwrap();
    assert!(get(&store, "http://b/1").is_some());
}

#[tokio::test]
async fn who_comes_after_a_purge_does_not_wait_for_a_fetch_that_began_before_it() {
    let store = store(8 * MIB);
    let early = lead(&store, "http://a/1");
    let before = store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    store.purge(&What::Url("http://a/1".into()), Mode::Hard);
    let late = store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    assert!(matches!(late, Join::Lead(_)));
    drop(early.fill(meta(&[]), None, Duration::ZERO));
    let Join::Wait(before) = before else {
        panic!("expected to wait");
    };
    let outcome = before.outcome(Duration::from_secs(9)).await;
    assert!(matches!(outcome, Outcome::Left));
    // The later flight is still there.
    let wait = store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    assert!(matches!(wait, Join::Wait(_)));
}

#[test]
fn a_flood_of_purges_by_tag_ends_with_the_fetch_not_stored() {
    let store = store(8 * MIB);
    let early = lead(&store, "http://a/1");
    for number in 0..1_025 {
        store.purge(&What::Tag(number.to_string()), Mode::Hard);
    }
    assert!(early.fill(meta(&[]), None, Duration::ZERO).is_err());
}

#[test]
fn a_tag_over_a_hundred_thousand_entries_is_purged_quickly() {
    let store = store(256 * MIB);
    for number in 0..100_000 {
        put_meta(&store, &format!("http://a/{number}"), meta(&["x"]), b"");
    }
    let start = std::time::Instant::now();
    assert_eq!(store.purge(&What::Tag("x".into()), Mode::Hard), 100_000);
    // Without optimisation, beside other tests; `benches/cache_store.rs` has the real figure.
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(store.figures().entries, 0);
}

#[test]
fn what_a_purge_has_hit_is_compared_with_nothing_that_is_to_be_evicted() {
    let store = store(4 * MIB);
    for number in 0..3 {
        put(&store, &format!("http://a/{number}"), &bytes(1, 100_000));
    }
    let now = store.clock.wall();
    let key = key(&store, "http://a/0");
    // It is marked, and not taken out yet.
    store.with_hash(key.url_hash(), |shard| {
        let url = What::Url("http://a/0".into());
        let aim = url.aim(store.seed);
        assert_eq!(shard.purge_url(&aim, key.url_hash(), (Mode::Hard, now)), 1);
        assert_eq!(
            shard
                .shrink(&store.room, 4 * MIB, Newcomer::Part, 64)
                .evicted,
            2
        );
    });
    assert_eq!(store.figures().entries, 0);
    put(&store, "http://a/0", b"body");
    assert_eq!(store.figures().entries, 1);
}
