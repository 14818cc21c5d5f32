//! The folder of a store: whose it is, and what becomes of the store without it.

use std::fs;

use super::disk::{DISK, segments};
use super::*;

#[test]
fn a_folder_belongs_to_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 8 * MIB, 16 * MIB);
    let error = Store::open(store.options().clone(), Clock::manual()).unwrap_err();
    let text = format!(
        "another store or process uses the folder {}",
        folder.path().display()
    );
    assert_eq!(error.to_string(), text);
    let mut options = store.options().clone();
    options.disk.as_mut().unwrap().size = 1;
    let error = Store::open(options, Clock::manual()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected at least 16777216 bytes of disk, found 1"
    );
}

#[tokio::test]
async fn a_folder_of_another_format_is_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    put(&store, "http://a/1", b"body");
    store.settled().await.unwrap();
    drop(store);
    fs::write(folder.path().join("store"), "wiregate cache 99\n").unwrap();
    fs::write(folder.path().join("notes.txt"), "somebody's").unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    assert_eq!(store.figures().entries, 0);
    assert!(segments(folder.path()).is_empty());
    assert!(folder.path().join("notes.txt").exists());
}

#[tokio::test]
async fn where_the_disk_fails_the_memory_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    fs::remove_dir_all(folder.path()).unwrap();
    put(&store, "http://a/1", b"body");
    store.settled().await.unwrap();
    put(&store, "http://a/2", b"body");
    assert_eq!(store.purge(&What::Url("http://a/2".into()), Mode::Hard), 1);
    store.settled().await.unwrap();
    let entry = get(&store, "http://a/1").unwrap();
    assert_eq!(ready(entry.reader()).unwrap(), b"body");
    assert_eq!((store.figures().unwritten, store.figures().disk), (2, 0));
}

#[tokio::test]
async fn a_folder_that_is_given_up_is_the_next_stores_and_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 4 * MIB, 64 * MIB);
    put(&store, "http://a/kept", b"kept");
    put(&store, "http://a/purged", b"purged");
    store.purge(&What::Url("http://a/purged".into()), Mode::Hard);
    let giving = store.clone();
    let soon = std::time::Instant::now() + Duration::from_secs(60);
    let given = tokio::task::spawn_blocking(move || giving.give_up_folder().done(soon));
    given.await.unwrap().unwrap();
    assert!(store.has_given_up());
    // It goes on with what it has in memory; what is stored or purged now is on no disk, and it says so.
    assert!(get(&store, "http://a/kept").is_some());
    put(&store, "http://a/late", b"late");
    assert!(get(&store, "http://a/late").is_some());
    assert!(store.settled().await.is_err());
    // Meanwhile another one has the folder.
    let next = open(folder.path(), 4 * MIB, 64 * MIB);
    let entry = fetch(&next, "http://a/kept").await.unwrap();
    assert!(!entry.is_purged());
    assert!(fetch(&next, "http://a/purged").await.is_none());
    assert!(fetch(&next, "http://a/late").await.is_none());
    put(&next, "http://a/new", b"new");
    next.settled().await.unwrap();
    // The end of the first one changes nothing about it.
    drop(store);
    assert!(fetch(&next, "http://a/new").await.is_some());
    assert!(Store::open(next.options().clone(), Clock::manual()).is_err());
}

#[test]
fn folders_are_waited_for_until_one_moment_however_many_there_are() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let stores = folders.each_ref().map(|folder| {
        let store = open(folder.path(), 4 * MIB, 64 * MIB);
        let entry = put(&store, "http://a/1", b"body");
        (store, entry)
    });
    // Whoever writes does not come on: it waits for a part of the index that somebody holds.
    let held = stores.each_ref().map(|(store, entry)| {
        let held = store.lock(entry.name().url_hash());
        let variant = held
            .slot(held.id_of(entry.name(), entry.number()).unwrap())
            .variant;
        assert!(store.disk.as_ref().unwrap().store(entry, variant));
        held
    });
    let leaving = stores.each_ref().map(|(store, _)| store.give_up_folder());
    let until = std::time::Instant::now() + Duration::from_secs(2);
    for leaving in leaving {
        let error = leaving.done(until).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
    // Each with a time of its own would be twice as long again.
    assert!(until.elapsed() < Duration::from_secs(2));
    drop(held);
    // They are given up all the same, a moment later.
    for folder in &folders {
        drop(open(folder.path(), 4 * MIB, 64 * MIB));
    }
}
