//! Responses of which all is there at once.

use super::disk::{DISK, reopen};
use super::*;

fn put_at_once(store: &Arc<Store>, url: &str, meta: Stored, body: &[u8]) -> Arc<Entry> {
    let stored = lead(store, url).store(meta, body, Duration::ZERO);
    stored.unwrap()
}

#[tokio::test]
async fn it_is_for_those_who_waited_and_for_all_who_come() {
    let store = store(8 * MIB);
    let lead = lead(&store, "http://a/1");
    let join = || store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    let Join::Wait(waiting) = join() else {
        panic!("expected to wait");
    };
    let stored = lead.store(meta(&[]), b"body", Duration::ZERO).unwrap();
    let Outcome::Entry(entry) = waiting.outcome(Duration::from_secs(9)).await else {
        panic!("expected the entry");
    };
    assert!(Arc::ptr_eq(&entry, &stored) && !entry.is_filling());
    assert_eq!(entry.length(), Some(4));
    assert_eq!(read(entry.reader()).await.unwrap(), b"body");
    assert_eq!(read(entry.reader_of(1, 3)).await.unwrap(), b"od");
    assert!(matches!(join(), Join::Found(found) if Arc::ptr_eq(&found, &stored)));
}

#[test]
fn it_takes_what_one_takes_that_came_in_pieces_but_for_what_followed_that() {
    for length in [0, 1, 1_000, 8_192, 65_536, 65_537, 300_000] {
        let (one, other) = (store(8 * MIB), store(8 * MIB));
        let body = bytes(1, length);
        let entry = put_at_once(&one, "http://a/1", meta(&["x"]), &body);
        assert_eq!(ready(entry.reader()).unwrap(), body);
        put_meta(&other, "http://a/1", meta(&["x"]), &body);
        let (less, more) = (one.figures().memory, other.figures().memory);
        // One block for head and body may be rounded up by a little more than two.
        assert!(less < more + 64 && more < less + 256, "{less} {more}");
        assert_eq!(one.figures().entries, 1);
    }
}

#[test]
fn what_goes_leaves_its_memory_unless_somebody_has_it() {
    let body = bytes(3, 1_000);
    for held in [false, true] {
        let (store, mut had) = (store(MIB), Vec::new());
        let (mut spares, mut refused) = (0, 0);
        for number in 0..2_000 {
            let lead = lead(&store, &format!("http://a/{number}"));
            let spare = lead.make_room(1_200, &body).capacity();
            assert!(spare == 0 || (1_000..1_300).contains(&spare), "{spare}");
            spares += usize::from(spare > 0);
            match lead.store(meta(&[]), &body, Duration::ZERO) {
                Ok(entry) => had.extend(held.then_some(entry)),
                Err(_) => refused += 1,
            }
            assert!(held || store.figures().memory <= MIB as u64);
        }
        match held {
            false => assert!(spares > 1_000 && refused == 0, "{spares} {refused}"),
            true => assert!(spares == 0 && refused > 1_000, "{spares} {refused}"),
        }
    }
}

#[test]
fn of_one_variant_the_later_one_stays_and_memory_keeps_its_bound() {
    let store = store(MIB);
    let urls = (0..2_000).map(|number| format!("http://a/{}", number % 900));
    for url in urls {
        put_at_once(&store, &url, meta(&[]), &bytes(2, 1_000));
        assert!(store.figures().memory <= MIB as u64);
    }
    assert!(store.figures().evicted > 0);
    for body in [b"one", b"two"] {
        put_at_once(&store, "http://a/v", varied("en"), body);
        put_at_once(&store, "http://a/v", varied("de"), body);
    }
    let key = key(&store, "http://a/v");
    for value in ["de", "en"] {
        let mut seen = 0;
        let found = store.find(&key, |entry| {
            seen += 1;
            entry.meta().vary == [language(value)]
        });
        let Find::Found(entry) = found else {
            panic!("expected {value}");
        };
        assert!(ready(entry.reader()).unwrap() == b"two" && seen <= 2);
    }
}

#[test]
fn a_purge_since_the_fetch_began_hits_it() {
    let store = store(8 * MIB);
    let early = lead(&store, "http://a/1");
    store.purge(&What::Tag("x".into()), Mode::Hard);
    let refused = early.store(meta(&["x"]), b"body", Duration::ZERO);
    assert_eq!(refused.err(), Some(Refused::Purged));
    assert!(get(&store, "http://a/1").is_none());
    let early = lead(&store, "http://a/1");
    store.purge(&What::All, Mode::Soft);
    let stored = early.store(meta(&["x"]), b"body", Duration::ZERO);
    assert!(stored.unwrap().is_purged());
    assert!(get(&store, "http://a/1").unwrap().is_purged());
}

#[test]
fn what_is_too_large_is_remembered_and_what_is_stored_clears_that() {
    let store = store(4 * MIB);
    let join = || store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| false);
    let long = Duration::from_secs(60);
    let refused = lead(&store, "http://a/1").store(meta(&[]), &bytes(1, 2 * MIB), long);
    assert_eq!(refused.err(), Some(Refused::TooLarge));
    assert!(matches!(join(), Join::Alone));
    lead(&store, "http://a/2").not_stored(long);
    put_at_once(&store, "http://a/2", meta(&[]), b"body");
    drop(lead(&store, "http://a/2"));
}

#[test]
fn what_finds_no_room_is_not_stored() {
    let store = store(4 * MIB);
    // What is held cannot be evicted.
    let held: Vec<_> = (0..3)
        .map(|number| put(&store, &format!("http://a/{number}"), &bytes(1, MIB)))
        .collect();
    let refused = lead(&store, "http://a/9").store(meta(&[]), &bytes(1, MIB), Duration::ZERO);
    assert_eq!(refused.err(), Some(Refused::NoRoom));
    drop(held);
    put_at_once(&store, "http://a/9", meta(&[]), &bytes(1, MIB));
}

#[test]
fn a_variant_that_is_stored_again_displaces_no_other() {
    let store = store(8 * MIB);
    let value = |n: usize| -> &'static str { Box::leak(format!("v{n}").into_boxed_str()) };
    for n in 0..64 {
        put_at_once(&store, "http://a/v", varied(value(n)), b"one");
    }
    assert_eq!(store.figures().entries, 64);
    put_at_once(&store, "http://a/v", varied(value(63)), b"two");
    assert_eq!(store.figures().entries, 64);
}

#[tokio::test]
async fn a_soft_purge_of_a_running_fetch_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 8 * MIB, 64 * MIB);
    let early = lead(&store, "http://a/1");
    store.purge(&What::Url("http://a/1".into()), Mode::Soft);
    early.store(meta(&["x"]), b"body", Duration::ZERO).unwrap();
    let early = lead(&store, "http://a/2");
    store.purge(&What::Url("http://a/2".into()), Mode::Hard);
    early
        .store(meta(&["x"]), b"body", Duration::ZERO)
        .unwrap_err();
    put_at_once(&store, "http://a/2", meta(&[]), b"body2");
    store.settled().await.unwrap();
    drop(store);
    let store = open(folder.path(), 8 * MIB, 64 * MIB);
    assert!(fetch(&store, "http://a/1").await.unwrap().is_purged());
    assert!(!fetch(&store, "http://a/2").await.unwrap().is_purged());
}

#[tokio::test]
async fn threads_join_and_store() {
    let store = store(32 * MIB);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut all = Vec::new();
    for thread in 0..4_u64 {
        let (store, done) = (store.clone(), done.clone());
        all.push(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                for round in 0..5_000_u64 {
                    let url = format!("http://a/{}", round % 7);
                    match store.join(&key(&store, &url), Asker::Anybody, |_| false) {
                        Join::Lead(lead) => match (round + thread) % 5 {
                            0 => drop(lead),
                            1 => lead.failed(Failure {
                                status: http::StatusCode::BAD_GATEWAY,
                                reason: "x",
                            }),
                            _ => drop(lead.store(meta(&["x"]), b"body", Duration::ZERO)),
                        },
                        Join::Wait(waiting) => {
                            let outcome = waiting.outcome(Duration::from_secs(5)).await;
                            assert!(!matches!(outcome, Outcome::Late), "nobody told it");
                        }
                        _ => {}
                    }
                    if round % 101 == 0 {
                        store.purge(
                            &What::Url(url),
                            if round % 2 == 0 {
                                Mode::Hard
                            } else {
                                Mode::Soft
                            },
                        );
                    }
                }
            });
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        }));
    }
    for one in all {
        one.join().unwrap();
    }
    store.purge(&What::All, Mode::Hard);
    until("all is buried", || store.figures().entries == 0);
}

#[tokio::test]
async fn a_refreshed_one_keeps_its_name_and_its_body_here_on_disk_and_in_another_process() {
    for length in [0, 1, 1_000, 8_192, 65_536, 65_537] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 16 * MIB, DISK);
        let (empty, body) = (store.figures().memory, bytes(3, length));
        let url = "http://a/a?name";
        let mut entry = put_at_once(&store, url, meta(&["old"]), &body);
        let held = entry.reader_of(1, u64::MAX);
        for tag in ["\"one\"", "\"two\""] {
            let mut new = entry.meta().clone(); // with what is behind its head
            new.head = with_etag(&new.head, tag);
            entry = lead(&store, url).refresh(&entry, new).unwrap();
            let mut clone = entry.meta().clone();
            clone.tags = vec!["new".into()];
            entry = lead(&store, url).refresh(&entry, clone).unwrap();
            assert_eq!((entry.url(), entry.length()), (url, Some(length as u64)));
            assert_eq!(ready(entry.reader()).unwrap(), body);
            let tail = ready(entry.reader_of(length as u64 / 2, u64::MAX)).unwrap();
            assert_eq!(tail, body[length / 2..]);
            assert_eq!(
                entry.meta().head.get(&http::header::ETAG),
                Some(tag.as_bytes())
            );
        }
        assert_eq!(ready(held).unwrap(), body[length.min(1)..]);
        let other = self::store(16 * MIB);
        super::passing::hand_over(&store, &other);
        let there = get(&other, url).unwrap();
        assert_eq!(
            (there.url(), ready(there.reader()).unwrap()),
            (url, body.to_vec())
        );
        drop((there, entry));
        let store = reopen(store, folder.path()).await;
        let entry = fetch(&store, url).await.unwrap();
        assert_eq!(
            (entry.url(), read(entry.reader()).await.unwrap()),
            (url, body.to_vec())
        );
        // Loaded, refreshed, and with its old head gone: nothing is charged once it is.
        let new = entry.meta().clone();
        let new = lead(&store, url).refresh(&entry, new).unwrap();
        assert_eq!(new.url(), url);
        drop((entry, new));
        assert_eq!(store.purge(&What::Tag("new".into()), Mode::Hard), 1);
        store.settled().await.unwrap();
        let left = store.figures().memory;
        assert!(left <= empty + 4_096, "{left} {empty}");
    }
}
