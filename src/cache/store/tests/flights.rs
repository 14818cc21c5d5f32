//! One fetch for each key at a time.

use http::StatusCode;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn wait(store: &Arc<Store>, url: &str) -> Waiting {
    match store.join(&key(store, url), Asker::Anybody, |_| true) {
        Join::Wait(waiting) => waiting,
        other => panic!("expected to wait, found {other:?}"),
    }
}

#[tokio::test]
async fn of_many_who_come_at_once_one_fetches_and_all_follow() {
    let store = store(8 * MIB);
    let first = lead(&store, "http://a/1");
    let waiting: Vec<_> = (0..100)
        .map(|_| tokio::spawn(wait(&store, "http://a/1").outcome(LONG)))
        .collect();
    let mut fill = first.fill(meta(&[]), None, Duration::ZERO).unwrap();
    fill.push(b"bo").unwrap();
    let mut entries = Vec::new();
    for one in waiting {
        match one.await.unwrap() {
            Outcome::Entry(entry) => entries.push(entry),
            other => panic!("expected the entry, found {other:?}"),
        }
    }
    fill.push(b"dy").unwrap();
    fill.finish().unwrap();
    for entry in entries {
        assert_eq!(read(entry.reader()).await.unwrap(), b"body");
    }
    let late = store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    assert!(matches!(late, Join::Found(_)));
}

#[tokio::test]
async fn a_fetch_that_fails_fails_for_all_who_waited_and_for_nobody_else() {
    let store = store(8 * MIB);
    let first = lead(&store, "http://a/1");
    let waiting: Vec<_> = (0..100).map(|_| wait(&store, "http://a/1")).collect();
    let failure = Failure {
        status: StatusCode::BAD_GATEWAY,
        reason: "connection_refused",
    };
    first.failed(failure);
    for one in waiting {
        match one.outcome(LONG).await {
            Outcome::Failed(failed) => assert_eq!(failed, failure),
            other => panic!("expected the failure, found {other:?}"),
        }
    }
    drop(lead(&store, "http://a/1"));
}

#[tokio::test]
async fn of_those_who_waited_for_one_that_left_one_takes_its_place() {
    let store = store(8 * MIB);
    let first = lead(&store, "http://a/1");
    let waiting: Vec<_> = (0..10).map(|_| wait(&store, "http://a/1")).collect();
    drop(first);
    let (mut leads, mut others) = (Vec::new(), 0);
    for one in waiting {
        assert!(matches!(one.outcome(LONG).await, Outcome::Left));
        match store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true) {
            Join::Lead(lead) => leads.push(lead),
            Join::Wait(_) => others += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((leads.len(), others), (1, 9));
}

#[tokio::test]
async fn what_is_not_for_the_cache_makes_nobody_wait_for_a_while() {
    let (store, clock) = timed(8 * MIB);
    let first = lead(&store, "http://a/1");
    let waiting = wait(&store, "http://a/1");
    first.not_stored(Duration::from_secs(5));
    assert!(matches!(waiting.outcome(LONG).await, Outcome::Alone));
    let join = || store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    // One tries at a time, and waits for nobody; the others do not even try.
    let trying = join();
    assert!(matches!(trying, Join::Lead(_)));
    assert!(matches!(join(), Join::Alone));
    if let Join::Lead(lead) = trying {
        lead.not_stored(Duration::from_secs(5));
    }
    assert!(matches!(join(), Join::Alone));
    clock.advance(Duration::from_millis(100));
    let trying = join();
    assert!(matches!(trying, Join::Lead(_)));
    drop(trying);
    assert!(matches!(join(), Join::Alone));
    clock.advance(Duration::from_secs(5));
    let (lead_again, waits) = (join(), join());
    assert!(matches!(
        (&lead_again, &waits),
        (Join::Lead(_), Join::Wait(_))
    ));

    lead(&store, "http://a/2").not_stored(Duration::from_secs(5));
    put(&store, "http://a/2", b"stored after all");
    store.purge(&What::All, Mode::Hard);
    let again = store.join(&key(&store, "http://a/2"), Asker::Anybody, |_| true);
    assert!(matches!(again, Join::Lead(_)));
}

#[tokio::test]
async fn what_is_for_somebody_says_nothing_about_the_requests_of_anybody() {
    let store = store(8 * MIB);
    let join = |asker| store.join(&key(&store, "http://a/1"), asker, |_| true);
    let Join::Lead(somebodys) = join(Asker::Cookie) else {
        panic!("expected the lead");
    };
    // Neither waits for the other.
    let Join::Lead(anybodys) = join(Asker::Anybody) else {
        panic!("expected a lead of its own");
    };
    let Join::Lead(known) = join(Asker::Credentials) else {
        panic!("expected a lead of its own");
    };
    somebodys.not_stored(Duration::from_secs(5));
    known.not_stored(Duration::from_secs(5));
    let Join::Wait(waiting) = join(Asker::Anybody) else {
        panic!("expected to wait for its own kind");
    };
    anybodys
        .fill(meta(&[]), Some(0), Duration::ZERO)
        .unwrap()
        .finish()
        .unwrap();
    assert!(matches!(waiting.outcome(LONG).await, Outcome::Entry(_)));
    // What is stored is for all, and nothing is held against anybody any more.
    assert!(matches!(join(Asker::Cookie), Join::Found(_)));
    store.purge(&What::All, Mode::Hard);
    let (first, second) = (join(Asker::Cookie), join(Asker::Cookie));
    assert!(matches!((&first, &second), (Join::Lead(_), Join::Wait(_))));
}

#[test]
fn what_is_too_large_is_tried_by_nobody_for_a_while() {
    let (store, clock) = timed(8 * MIB);
    lead(&store, "http://a/1").too_large(Duration::from_secs(5), &[]);
    let join = || store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    assert!(matches!(join(), Join::Alone));
    clock.advance(Duration::from_millis(4_999));
    assert!(matches!(join(), Join::Alone));
    clock.advance(Duration::from_millis(1));
    assert!(matches!(join(), Join::Lead(_)));
}

#[test]
fn a_variant_that_is_too_large_keeps_no_other_from_the_cache() {
    let (store, clock) = timed(8 * MIB);
    let before = store.figures().memory;
    let join = |value: &'static str| {
        let (key, wanted) = (key(&store, "http://a/1"), [language(value)]);
        store.join_for(&key, Asker::Anybody, |is| is == wanted, |_| false)
    };
    let too_large = |value: &'static str| match join(value) {
        Join::Lead(lead) => lead.too_large(Duration::from_secs(5), &[language(value)]),
        other => panic!("{value}: {other:?}"),
    };
    too_large("de");
    clock.advance(Duration::from_secs(1));
    assert!(matches!(join("de"), Join::Alone));
    assert!(matches!(join("en"), Join::Lead(_)));
    too_large("fr");
    // Of two, nobody knows which: all are tried now and then.
    for value in ["de", "en", "fr"] {
        assert!(matches!(join(value), Join::Alone), "{value}");
    }
    // Where one of those tries that are too large, all others are tried soon nevertheless.
    for value in ["de", "fr", "de"] {
        clock.advance(Duration::from_millis(100));
        too_large(value);
        assert!(matches!(join("en"), Join::Alone));
    }
    clock.advance(Duration::from_millis(100));
    assert!(matches!(join("en"), Join::Lead(_)));
    assert!(matches!(join("de"), Join::Alone));
    clock.advance(Duration::from_secs(5));
    assert!(matches!(join("de"), Join::Lead(_)));
    assert!(
        store.figures().memory >= before,
        "what is remembered counts"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_he_would() {
    let store = store(8 * MIB);
    let _first = lead(&store, "http://a/1");
    let waiting = wait(&store, "http://a/1").outcome(Duration::from_secs(3));
    assert!(matches!(waiting.await, Outcome::Late));
}

#[test]
fn a_stampede_of_threads_has_one_fetch_at_a_time() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let store = store(8 * MIB);
    let (leads, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    match store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| false) {
                        Join::Lead(lead) => {
                            let now = leads.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            leads.fetch_sub(1, Ordering::SeqCst);
                            drop(lead);
                        }
                        Join::Wait(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 1);
}

#[test]
fn a_mark_of_what_was_not_for_the_cache_keeps_no_variant_from_it() {
    let (store, clock) = timed(8 * MIB);
    let key = key(&store, "http://a/1");
    let join = || store.join(&key, Asker::Anybody, |_| false);
    let Join::Lead(first) = join() else {
        panic!("nobody else fetches");
    };
    first.not_stored(Duration::from_secs(5));
    let Join::Lead(second) = join() else {
        panic!("somebody may try");
    };
    second.too_large(Duration::from_secs(5), &[language("de")]);
    clock.advance(Duration::from_millis(100));
    let Join::Lead(third) = join() else {
        panic!("another variant may be tried");
    };
    // Without `Vary` it is the same response for all.
    third.too_large(Duration::from_secs(5), &[]);
    clock.advance(Duration::from_millis(4_999));
    assert!(matches!(join(), Join::Alone));
}
