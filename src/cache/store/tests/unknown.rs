//! What is on disk, and not in the index.

use super::disk::{DISK, reopen};
use super::*;

#[tokio::test]
async fn a_purge_hits_a_variant_that_the_index_has_no_place_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    for number in 0..65 {
        let language = (http::header::ACCEPT_LANGUAGE, Some(number.into()));
        let vary = vec![language];
        put_meta(&store, "http://a/1", Stored { vary, ..meta(&[]) }, b"body");
        store.settled().await.unwrap();
    }
    // All that the index knows goes.
    while let Some(entry) = fetch(&store, "http://a/1").await {
        store.remove(&entry);
    }
    assert_eq!(store.purge(&What::Url("http://a/1".into()), Mode::Hard), 0);
    let store = reopen(store, folder.path()).await;
    assert!(fetch(&store, "http://a/1").await.is_none());
}

#[tokio::test]
async fn a_purge_hits_what_the_index_had_no_room_for_when_it_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    let url = |number: usize| format!("http://a/{number}");
    for number in 0..3_000 {
        put(&store, &url(number), b"body");
    }
    store.settled().await.unwrap();
    assert_eq!(store.figures().unwritten, 0);
    drop(store);
    let store = open(folder.path(), Options::LEAST_MEMORY, DISK);
    assert!(store.figures().entries < 2_990);
    assert_eq!(store.purge(&What::Url(url(0)), Mode::Hard), 0);
    let store = reopen(store, folder.path()).await;
    assert!(fetch(&store, &url(1)).await.is_some());
    assert!(fetch(&store, &url(0)).await.is_none());
}

#[tokio::test]
async fn a_url_with_more_variants_on_disk_than_the_index_keeps_is_found_with_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    let put = |number: u16, body: &[u8]| {
        let language = (http::header::ACCEPT_LANGUAGE, Some(number.into()));
        let vary = vec![language];
        put_meta(&store, "http://a/1", Stored { vary, ..meta(&[]) }, body);
    };
    for (body, numbers) in [(b"old", 0..100), (b"new", 0..100)] {
        for number in numbers {
            put(number, body);
        }
    }
    put_meta(&store, "http://a/2", meta(&[]), b"other");
    let store = reopen(store, folder.path()).await;
    assert_eq!(store.figures().entries, 65);
    let key = key(&store, "http://a/1");
    for number in 0..100_u16 {
        let wanted = [(http::header::ACCEPT_LANGUAGE, Some(number.into()))];
        let entry = store.load(&key, |entry| entry.meta().vary == wanted);
        let body = match entry.await {
            Some(entry) => Some(read(entry.reader()).await.unwrap()),
            None => None,
        };
        let expected = (number >= 36).then(|| b"new".to_vec());
        assert_eq!(body, expected, "{number}");
    }
}
