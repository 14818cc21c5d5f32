//! A start beside a disk that is full of entries.

use std::path::Path;

use super::*;

const FOLDER: &str = "WIREGATE_TEST_START";

fn url(number: usize) -> String {
    format!("http://a/{number}")
}

/// Leaves so many entries on disk, with bodies of this length.
async fn leave(folder: &Path, entries: usize, length: usize) {
    let store = open(folder, 64 * MIB, 256 * MIB);
    for number in 0..entries {
        put(&store, &url(number), &bytes(number as u64, length));
        // The queue for the disk has a bound, of 16 MiB here.
        if number % (4 * MIB / (length + 1024)) == 0 {
            store.settled().await.unwrap();
        }
    }
    store.settled().await.unwrap();
    assert_eq!(store.figures().unwritten, 0);
}

/// How many bytes this process has read so far, and how often it has asked the system for some.
fn reads() -> [u64; 2] {
    let told = std::fs::read_to_string("/proc/self/io").unwrap();
    ["rchar: ", "syscr: "].map(|name| {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    })
}

/// Opens the store until all is found, and tells how many entries that are, and what was read for it.
fn find_all(folder: &Path) {
    let before = reads();
    let store = open(folder, 64 * MIB, 256 * MIB);
    let after = reads();
    let found = store.figures().entries;
    println!(
        "\nfound {found} {} {}",
        after[0] - before[0],
        after[1] - before[1]
    );
}

#[tokio::test]
async fn heads_alone_are_read_twice_at_most_however_large_the_bodies_are() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return find_all(Path::new(&folder));
    }
    for (entries, length) in [(10_000, 500), (300, 400_000)] {
        let folder = tempfile::tempdir().unwrap();
        leave(folder.path(), entries, length).await;
        // In a process of its own, where nobody else reads.
        let test = "heads_alone_are_read_twice_at_most_however_large_the_bodies_are";
        let told = again(&format!("start::{test}"), FOLDER, folder.path()).output();
        let told = String::from_utf8(told.unwrap().stdout).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("found "));
        let words = line.expect(&told).split(' ').map(|word| word.parse());
        let [found, bytes, asked]: [usize; 3] = words
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(found, entries);
        // A glance of 4 KiB at each head, once on the way to the end and once back.
        assert!(asked <= 2 * entries + 200, "{asked} for {entries}");
        assert!(bytes <= (2 * entries + 50) * 4096, "{bytes} for {entries}");
        assert!(bytes >= entries * 56, "{bytes} for {entries}");
    }
}

#[test]
fn what_is_found_is_had_while_the_rest_is_still_being_found() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let entries = 20_000;
    runtime.block_on(leave(folder.path(), entries, 50));
    let newest = url(entries - 1);
    // Where the machine finds all before this thread goes on, once more.
    let tried = (0..50).any(|_| {
        let store = opened(folder.path(), 64 * MIB, 256 * MIB);
        let place = |url: &str| std::ptr::from_ref(&*store.lock(key(&store, url).url_hash()));
        // The newest is found first. An old one is not found as long as its part is held.
        let old = (0..)
            .map(url)
            .find(|old| place(old) != place(&newest))
            .unwrap();
        let old = key(&store, &old);
        let mut part = store.lock(old.url_hash());
        if !matches!(part.find(&old, |_| true), Find::Missing) {
            return false;
        }
        until("the newest is found", || {
            matches!(store.find(&key(&store, &newest), |_| true), Find::OnDisk)
        });
        let read = runtime.block_on(async {
            let entry = fetch(&store, &newest).await.unwrap();
            read(entry.reader()).await.unwrap()
        });
        assert_eq!(read, bytes(entries as u64 - 1, 50));
        assert!(store.disk.as_ref().unwrap().is_finding());
        drop(part);
        until("all is found", || !store.figures().finding);
        assert_eq!(store.figures().entries, entries as u64);
        true
    });
    assert!(tried, "the search never took longer than it takes to look");
}

fn newer_than_what_is_found(at_once: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(leave(folder.path(), 20_000, 50));
    let tried = (0..50).any(|_| {
        let store = opened(folder.path(), 64 * MIB, 256 * MIB);
        let old = url(0);
        let early = lead(&store, &old);
        if !matches!(store.find(&key(&store, &old), |_| true), Find::Missing) {
            return false;
        }
        if at_once {
            until("all is found", || !store.figures().finding);
            early.store(meta(&[]), b"new", Duration::ZERO).unwrap();
        } else {
            let mut fill = early.fill(meta(&[]), Some(3), Duration::ZERO).unwrap();
            until("all is found", || !store.figures().finding);
            fill.push(b"new").unwrap();
            fill.finish().unwrap();
        }
        let body = runtime.block_on(async {
            let entry = fetch(&store, &old).await.unwrap();
            read(entry.reader()).await.unwrap()
        });
        assert_eq!(body, b"new", "at once: {at_once}");
        true
    });
    assert!(tried);
}

#[test]
fn what_is_stored_is_newer_than_what_is_found_meanwhile() {
    newer_than_what_is_found(true);
}

#[test]
fn a_fill_is_newer_than_what_is_found_meanwhile() {
    newer_than_what_is_found(false);
}
