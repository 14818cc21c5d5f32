//! Fills, and those who follow them.

use super::*;

#[test]
fn what_was_filled_is_found_and_read_without_waiting() {
    let store = store(8 * MIB);
    let body = bytes(1, 200_000);
    let entry = put(&store, "http://a/1", &body);
    assert_eq!(entry.length(), Some(200_000));
    let found = get(&store, "http://a/1").unwrap();
    assert!(Arc::ptr_eq(&found, &entry) && !found.is_filling() && !found.is_purged());
    assert_eq!(ready(found.reader()).unwrap(), body);
    assert_eq!(found.meta().times, meta(&[]).times);
    assert!(get(&store, "http://a/2").is_none());
    let other_part = store.key("http://a/1", &[b"HEAD"]);
    assert!(matches!(store.find(&other_part, |_| true), Find::Missing));
}

#[test]
fn pieces_are_handed_out_without_a_copy() {
    let store = store(8 * MIB);
    let entry = put(&store, "http://a/1", &bytes(1, 100 * 1024));
    let mut readers = [entry.reader(), entry.reader()];
    let [one, two] = readers
        .each_mut()
        .map(|reader| reader.ready().unwrap().unwrap().unwrap());
    assert_eq!((one.as_ptr(), one.len()), (two.as_ptr(), 64 * 1024));
}

#[test]
fn a_part_of_a_body_is_read_alone() {
    let store = store(8 * MIB);
    let body = bytes(2, 200_000);
    let entry = put(&store, "http://a/1", &body);
    for (from, to) in [
        (0, 1),
        (65_535, 65_537),
        (65_536, 131_072),
        (199_999, 300_000),
        (70_000, 70_000),
        (100, 199_000),
    ] {
        let read = ready(entry.reader_of(from, to)).unwrap();
        let to = (to as usize).min(body.len());
        assert_eq!(read, body[from as usize..to], "{from}..{to}");
    }
    assert!(
        ready(entry.reader_of(200_000, u64::MAX))
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn readers_follow_a_fill_that_runs() {
    for length in [None, Some(300_000)] {
        let store = store(8 * MIB);
        let body = bytes(3, 300_000);
        let mut fill = lead(&store, "http://a/1")
            .fill(meta(&[]), length, Duration::ZERO)
            .unwrap();
        let followers: Vec<_> = (0..8_u64)
            .map(|number| {
                let entry = get(&store, "http://a/1").unwrap();
                assert!(entry.is_filling());
                assert_eq!(entry.length(), length);
                let from = number * 30_000;
                let reading = tokio::spawn(read(entry.reader_of(from, u64::MAX)));
                (from as usize, reading)
            })
            .collect();
        for piece in body.chunks(7_777) {
            fill.push(piece).unwrap();
            tokio::task::yield_now().await;
        }
        let entry = fill.finish().unwrap();
        for (from, follower) in followers {
            assert_eq!(follower.await.unwrap().unwrap(), body[from..]);
        }
        assert_eq!(ready(entry.reader()).unwrap(), body);
    }
}

#[tokio::test]
async fn those_who_follow_a_fill_that_is_dropped_get_an_error() {
    let store = store(8 * MIB);
    let mut fill = lead(&store, "http://a/1")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    fill.push(b"half").unwrap();
    let mut reader = get(&store, "http://a/1").unwrap().reader();
    assert_eq!(reader.next().await.unwrap().unwrap(), "half");
    let waiting = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    drop(fill);
    assert_eq!(waiting.await.unwrap(), Err(Broken));
    assert!(get(&store, "http://a/1").is_none());
    assert_eq!(store.figures().discarded, 1);
}

#[test]
fn a_body_of_another_length_than_announced_is_discarded() {
    let store = store(8 * MIB);
    let mut short = lead(&store, "http://a/1")
        .fill(meta(&[]), Some(5), Duration::ZERO)
        .unwrap();
    short.push(b"1234").unwrap();
    assert_eq!(short.finish().err(), Some(Refused::Length));
    let mut long = lead(&store, "http://a/1")
        .fill(meta(&[]), Some(5), Duration::ZERO)
        .unwrap();
    assert_eq!(long.push(b"123456"), Err(Refused::Length));
    drop(long);
    assert!(get(&store, "http://a/1").is_none());
    assert_eq!(store.figures().entries, 0);
    put(&store, "http://a/1", b"");
    let empty = get(&store, "http://a/1").unwrap();
    assert_eq!(
        (empty.length(), ready(empty.reader())),
        (Some(0), Ok(vec![]))
    );
}

#[test]
fn a_body_without_room_is_tried_again_before_it_is_forgotten() {
    let store = store(4 * MIB);
    let join = || store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    let fill = lead(&store, "http://a/1")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    fill.abandon(Duration::from_secs(5), &Refused::NoRoom);
    let first = join();
    assert!(matches!(first, Join::Lead(_)), "{first:?}");
    let fill = lead(&store, "http://a/2")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    fill.abandon(Duration::from_secs(5), &Refused::TooLarge);
    let other = store.join(&key(&store, "http://a/2"), Asker::Anybody, |_| true);
    assert!(matches!(other, Join::Alone), "{other:?}");
}

#[test]
fn a_body_that_is_too_large_is_not_stored() {
    let store = store(4 * MIB);
    let refused = lead(&store, "http://a/1").fill(meta(&[]), Some(MIB as u64 + 1), Duration::ZERO);
    assert_eq!(refused.err(), Some(Refused::TooLarge));
    let mut fill = lead(&store, "http://a/1")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    fill.push(&bytes(1, MIB)).unwrap();
    let mut reader = fill.entry().reader();
    assert_eq!(fill.push(b"1"), Err(Refused::TooLarge));
    fill.abandon(Duration::from_secs(5), &Refused::TooLarge);
    assert!(get(&store, "http://a/1").is_none());
    let next = store.join(&key(&store, "http://a/1"), Asker::Anybody, |_| true);
    assert!(matches!(next, Join::Alone));
    // Whoever followed has all that had been taken, and knows that it is not all.
    let mut read = Vec::new();
    let end = loop {
        match reader.ready().unwrap() {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            end => break end,
        }
    };
    assert_eq!(end, Err(Broken));
    assert!(read == bytes(1, MIB));
}

#[test]
fn the_old_entry_stays_until_its_successor_is_complete() {
    let store = store(8 * MIB);
    put(&store, "http://a/1", b"old");
    let mut fill = lead(&store, "http://a/1")
        .fill(meta(&[]), None, Duration::ZERO)
        .unwrap();
    fill.push(b"ne").unwrap();
    assert!(get(&store, "http://a/1").unwrap().is_filling());
    drop(fill);
    let old = get(&store, "http://a/1").unwrap();
    assert_eq!(ready(old.reader()).unwrap(), b"old");
    put(&store, "http://a/1", b"new");
    assert_eq!(
        ready(get(&store, "http://a/1").unwrap().reader()).unwrap(),
        b"new"
    );
    assert_eq!(store.figures().entries, 1);
    assert_eq!(ready(old.reader()).unwrap(), b"old");
}

#[test]
fn of_two_fills_the_later_fetch_stays() {
    let store = store(8 * MIB);
    let key = key(&store, "http://a/1");
    let askers = [Asker::Anybody, Asker::Cookie];
    let [early, late] = askers.map(|asker| match store.join(&key, asker, |_| false) {
        Join::Lead(lead) => lead,
        other => panic!("expected the lead, found {other:?}"),
    });
    let mut late = late.fill(meta(&[]), None, Duration::ZERO).unwrap();
    late.push(b"late").unwrap();
    late.finish().unwrap();
    let mut early = early.fill(meta(&[]), None, Duration::ZERO).unwrap();
    early.push(b"early").unwrap();
    early.finish().unwrap();
    let found = get(&store, "http://a/1").unwrap();
    assert_eq!(ready(found.reader()).unwrap(), b"late");
    assert_eq!(store.figures().entries, 1);
}

#[test]
fn variants_live_side_by_side_and_each_replaces_its_own() {
    let store = store(8 * MIB);
    put_meta(&store, "http://a/1", varied("de"), b"eins");
    put_meta(&store, "http://a/1", varied("en"), b"one");
    put_meta(&store, "http://a/1", varied("de"), b"zwei");
    let key = key(&store, "http://a/1");
    for (value, body) in [("de", "zwei"), ("en", "one")] {
        let fits = |entry: &Entry| entry.meta().vary == [language(value)];
        let Find::Found(entry) = store.find(&key, fits) else {
            panic!("expected an entry for {value}");
        };
        assert_eq!(ready(entry.reader()).unwrap(), body.as_bytes());
    }
    assert_eq!(store.figures().entries, 2);
}

#[test]
fn a_key_has_a_bounded_number_of_variants() {
    let store = store(8 * MIB);
    for number in 0..200 {
        let mut meta = meta(&[]);
        let value = HeaderValue::from_str(&number.to_string()).unwrap();
        meta.vary = vec![(http::header::ACCEPT, Some(value))];
        put_meta(&store, "http://a/1", meta, b"x");
    }
    assert_eq!(store.figures().entries, 64);
}

#[test]
fn a_refreshed_entry_has_the_new_head_and_the_old_body() {
    let store = store(8 * MIB);
    let old = put(&store, "http://a/1", b"body");
    store.purge(&What::All, Mode::Soft);
    assert!(old.is_purged());
    let mut fresh = meta(&["new"]);
    fresh.head = with_etag(&fresh.head, "\"2\"");
    let new = lead(&store, "http://a/1").refresh(&old, fresh).unwrap();
    let found = get(&store, "http://a/1").unwrap();
    assert!(Arc::ptr_eq(&found, &new) && !found.is_purged());
    assert_eq!(
        found.meta().head.get(&http::header::ETAG),
        Some(&b"\"2\""[..])
    );
    assert_eq!(ready(found.reader()).unwrap(), b"body");
    assert_eq!(store.figures().entries, 1);
    assert_eq!(store.purge(&What::Tag("new".into()), Mode::Hard), 1);
    let gone = lead(&store, "http://a/1").refresh(&new, meta(&[]));
    assert_eq!(gone.err(), Some(Refused::Gone));
}

#[test]
fn an_entry_is_removed_alone() {
    let store = store(8 * MIB);
    let entry = put(&store, "http://a/1", b"1");
    put(&store, "http://a/2", b"2");
    store.remove(&entry);
    store.remove(&entry);
    assert!(get(&store, "http://a/1").is_none() && get(&store, "http://a/2").is_some());
}
