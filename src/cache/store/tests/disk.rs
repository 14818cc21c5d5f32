//! Entries on disk: what is kept, what is damaged, and how much room there is. What is about the folder as a
//! whole is in [`folders`](super::folders).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::*;

pub(super) const DISK: usize = 64 * MIB;

pub(super) async fn reopen(store: Arc<Store>, folder: &Path) -> Arc<Store> {
    store.settled().await.unwrap();
    drop(store);
    open(folder, 16 * MIB, DISK)
}

pub(super) fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "segment"));
    paths.sort();
    paths
}

#[tokio::test]
async fn entries_survive_a_restart_with_all_that_is_known_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    for (number, length) in [0, 1, 65_536, 200_000, 3 * MIB].into_iter().enumerate() {
        let body = bytes(number as u64, length);
        put_meta(&store, &format!("http://a/{number}"), meta(&["x"]), &body);
    }
    put_meta(&store, "http://a/v", varied("de"), b"eins");
    let at_once = lead(&store, "http://a/v").store(varied("en"), b"one", Duration::ZERO);
    drop(at_once.unwrap());
    let store = reopen(store, folder.path()).await;
    assert_eq!(store.figures().entries, 7);
    for (number, length) in [0, 1, 65_536, 200_000, 3 * MIB].into_iter().enumerate() {
        let entry = fetch(&store, &format!("http://a/{number}")).await.unwrap();
        assert_eq!(entry.length(), Some(length as u64));
        let body = bytes(number as u64, length);
        assert_eq!(read(entry.reader()).await.unwrap(), body);
        if length > 70_000 {
            let part = read(entry.reader_of(65_000, 70_000)).await.unwrap();
            assert_eq!(part, body[65_000..70_000]);
            let end = read(entry.reader_of(length as u64 - 9, u64::MAX)).await;
            assert_eq!(end.unwrap(), body[length - 9..]);
        }
        let expected = meta(&["x"]);
        assert_eq!(entry.meta().head, expected.head);
        assert_eq!(entry.meta().times, expected.times);
        assert_eq!(entry.url(), format!("http://a/{number}"));
    }
    let key = key(&store, "http://a/v");
    for (value, body) in [("de", "eins"), ("en", "one")] {
        let fits = |entry: &Entry| entry.meta().vary == [language(value)];
        let entry = store.load(&key, fits).await.unwrap();
        assert_eq!(read(entry.reader()).await.unwrap(), body.as_bytes());
    }
    assert_eq!(store.figures().corrupt, 0);
}

#[tokio::test]
async fn what_left_the_memory_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 4 * MIB, DISK);
    for number in 0..200_u64 {
        let url = format!("http://a/{number}");
        put(&store, &url, &bytes(number, 100_000));
        store.settled().await.unwrap();
    }
    let figures = store.figures();
    assert!(figures.evicted > 100 && figures.memory <= 4 * MIB as u64);
    assert_eq!((figures.entries, figures.unwritten), (200, 0));
    for number in 0..200 {
        let entry = fetch(&store, &format!("http://a/{number}")).await.unwrap();
        assert_eq!(read(entry.reader()).await.unwrap(), bytes(number, 100_000));
        assert!(store.figures().memory <= 4 * MIB as u64);
    }
}

#[tokio::test]
async fn many_who_ask_for_what_is_on_disk_get_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    put(&store, "http://a/1", b"body");
    let store = reopen(store, folder.path()).await;
    let loads = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { fetch(&store, "http://a/1").await.unwrap() })
    });
    let loads: Vec<_> = loads.collect();
    let mut entries = Vec::new();
    for load in loads {
        entries.push(load.await.unwrap());
    }
    assert!(entries.iter().all(|entry| Arc::ptr_eq(entry, &entries[0])));
}

#[tokio::test]
async fn purges_and_what_replaced_an_entry_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    for number in 0..8 {
        let tag = format!("t{number}");
        put_meta(&store, &format!("http://a/{number}"), meta(&[&tag]), b"old");
    }
    let old = put(&store, "http://b/1", b"old");
    let store = reopen(store, folder.path()).await;
    store.purge(&What::Url("http://a/0".into()), Mode::Hard);
    store.purge(&What::Prefix("http://a/1".into()), Mode::Hard);
    store.purge(&What::Tag("t2".into()), Mode::Hard);
    store.purge(&What::Tag("t3".into()), Mode::Soft);
    put_meta(&store, "http://a/4", meta(&[]), b"new");
    store.remove(&fetch(&store, "http://a/5").await.unwrap());
    store.purge(&What::Url("http://a/6".into()), Mode::Hard);
    put_meta(&store, "http://a/6", meta(&[]), b"new");
    let mut fresh = meta(&[]);
    fresh.head = with_etag(&fresh.head, "\"2\"");
    let seven = fetch(&store, "http://a/7").await.unwrap();
    lead(&store, "http://a/7").refresh(&seven, fresh).unwrap();
    drop((old, seven));
    let store = reopen(store, folder.path()).await;
    let mut seen = Vec::new();
    for number in 0..8 {
        let entry = fetch(&store, &format!("http://a/{number}")).await;
        seen.push(match entry {
            None => "gone".to_owned(),
            Some(entry) => {
                let body = read(entry.reader()).await.unwrap();
                let soft = if entry.is_purged() { "stale " } else { "" };
                let etag = entry.meta().head.get(&http::header::ETAG).is_some();
                let etag = if etag { " refreshed" } else { "" };
                format!("{soft}{}{etag}", String::from_utf8(body).unwrap())
            }
        });
    }
    let expected = [
        "gone",
        "gone",
        "gone",
        "stale old",
        "new",
        "gone",
        "new",
        "old refreshed",
    ];
    assert_eq!(seen, expected);
    assert_eq!(store.purge(&What::All, Mode::Hard), 5);
    let store = reopen(store, folder.path()).await;
    assert_eq!(store.figures().entries, 0);
}

#[tokio::test]
async fn a_large_body_is_not_written_again_for_a_new_head() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    let body = bytes(1, 3 * MIB);
    let mut entry = put(&store, "http://a/1", &body);
    store.settled().await.unwrap();
    for _ in 0..20 {
        entry = lead(&store, "http://a/1")
            .refresh(&entry, meta(&["new"]))
            .unwrap();
        store.settled().await.unwrap();
    }
    assert!(store.figures().disk < 4 * MIB as u64);
    drop(entry);
    let store = reopen(store, folder.path()).await;
    let entry = fetch(&store, "http://a/1").await.unwrap();
    assert_eq!(*entry.meta().tags[0], *"new");
    assert_eq!(read(entry.reader()).await.unwrap(), body);
    assert_eq!(store.figures().entries, 1);
}

#[tokio::test]
async fn a_body_that_was_damaged_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    let (small, large) = (bytes(1, 100_000), bytes(2, 2 * MIB));
    put(&store, "http://a/small", &small);
    put(&store, "http://a/large", &large);
    let store = reopen(store, folder.path()).await;
    let path = &segments(folder.path())[0];
    let file = fs::read(path).unwrap();
    let flip = |body: &[u8], at: usize| {
        let part = &body[at..at + 16];
        let place = file.windows(16).position(|window| window == part).unwrap();
        let write = fs::File::options().write(true).open(path).unwrap();
        write
            .write_all_at(&[file[place] ^ 1], place as u64)
            .unwrap();
    };
    flip(&small, 90_000);
    flip(&large, MIB);
    assert!(fetch(&store, "http://a/small").await.is_none());
    assert!(fetch(&store, "http://a/small").await.is_none());
    let entry = fetch(&store, "http://a/large").await.unwrap();
    let mut reader = entry.reader();
    let mut got = Vec::new();
    let end = loop {
        match reader.next().await {
            Ok(Some(piece)) => got.extend_from_slice(&piece),
            end => break end,
        }
    };
    assert_eq!(end, Err(Broken));
    assert!(got.len() <= MIB && got == large[..got.len()]);
    assert!(store.figures().corrupt >= 2);
    // Nobody runs into it again.
    assert!(fetch(&store, "http://a/large").await.is_none());
    put(&store, "http://a/large", b"new");
    assert!(fetch(&store, "http://a/large").await.is_some());
}

#[tokio::test]
async fn whatever_byte_is_wrong_what_is_served_is_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    for number in 0..20 {
        put(&store, &format!("http://a/{number}"), &bytes(number, 500));
    }
    // Lost, this purge would let the ones before it come back.
    store.purge(&What::Tag("nothing".into()), Mode::Hard);
    store.purge(&What::Url("http://a/3".into()), Mode::Hard);
    store.settled().await.unwrap();
    drop(store);
    let pristine = fs::read(&segments(folder.path())[0]).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let mut bytes_now = pristine.clone();
        match round % 2 {
            0 => {
                let place = random.usize(..bytes_now.len());
                bytes_now[place] ^= 1 << random.u32(..8);
            }
            _ => bytes_now.truncate(random.usize(..pristine.len())),
        }
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("store"), copy.path().join("store")).unwrap();
        fs::write(copy.path().join("00000001.segment"), &bytes_now).unwrap();
        let store = open(copy.path(), 16 * MIB, DISK);
        let cut = round % 2 == 1;
        for number in 0..20 {
            if let Some(entry) = fetch(&store, &format!("http://a/{number}")).await {
                assert_eq!(read(entry.reader()).await.unwrap(), bytes(number, 500));
                // Where the file ends before the purge, it had not happened.
                assert!(number != 3 || cut, "a purged entry came back");
            }
        }
    }
}

#[tokio::test]
async fn the_disk_stays_within_its_bound_and_what_is_asked_for_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 8 * MIB, 16 * MIB);
    let popular = bytes(0, 10_000);
    put(&store, "http://a/popular", &popular);
    for number in 1..1_000 {
        put(
            &store,
            &format!("http://a/{number}"),
            &bytes(number, 50_000),
        );
        store.settled().await.unwrap();
        assert!(
            fetch(&store, "http://a/popular").await.is_some(),
            "{number}"
        );
        let files = segments(folder.path());
        let bytes: u64 = files
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum();
        assert!(bytes <= 16 * MIB as u64, "{bytes} bytes on disk");
        assert!(store.figures().disk <= bytes);
    }
    let on_disk = store.figures().entries;
    assert!(on_disk > 200, "{on_disk}");
    store.settled().await.unwrap();
    drop(store);
    let store = open(folder.path(), 8 * MIB, 16 * MIB);
    let entry = fetch(&store, "http://a/popular").await.unwrap();
    assert_eq!(read(entry.reader()).await.unwrap(), popular);
    assert!(fetch(&store, "http://a/999").await.is_some());
    assert!(fetch(&store, "http://a/1").await.is_none());
}

#[tokio::test]
async fn what_happens_while_the_index_is_being_found_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 32 * MIB, DISK);
    for number in 0..3_000 {
        let tag = format!("t{}", number % 3);
        put_meta(&store, &format!("http://a/{number}"), meta(&[&tag]), b"old");
    }
    store.settled().await.unwrap();
    assert_eq!(store.figures().unwritten, 0);
    let options = store.options().clone();
    drop(store);
    let mut store = None;
    until("the folder is free", || {
        store = Store::open(options.clone(), Clock::manual()).ok();
        store.is_some()
    });
    let store = store.unwrap();
    // At whatever point the search is.
    store.purge(&What::Tag("t1".into()), Mode::Hard);
    store.purge(&What::Url("http://a/0".into()), Mode::Hard);
    put(&store, "http://a/2", b"new");
    until("all is found", || !store.figures().finding);
    assert!(fetch(&store, "http://a/0").await.is_none());
    let two = fetch(&store, "http://a/2").await.unwrap();
    assert_eq!(read(two.reader()).await.unwrap(), b"new");
    for number in 3..3_000 {
        let found = fetch(&store, &format!("http://a/{number}")).await;
        assert_eq!(found.is_some(), number % 3 != 1, "{number}");
    }
    assert_eq!(store.figures().entries, 1_999);
}

#[tokio::test]
async fn a_store_that_is_closed_before_an_entry_is_written_does_not_bring_back_the_old_one() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 16 * MIB, DISK);
        put(&store, "http://a/1", b"old");
        store.settled().await.unwrap();
        put(&store, "http://a/1", &bytes(1, 100_000));
        drop(store);
        let store = open(folder.path(), 16 * MIB, DISK);
        if let Some(entry) = fetch(&store, "http://a/1").await {
            assert_eq!(read(entry.reader()).await.unwrap(), bytes(1, 100_000));
        }
    }
}

#[tokio::test]
async fn what_changes_nothing_that_is_stored_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    put(&store, "http://a/1", b"body");
    store.settled().await.unwrap();
    let before = store.figures().disk;
    for number in 0..10_000 {
        let url = What::Url(format!("http://a/none/{number}"));
        assert_eq!(store.purge(&url, Mode::Hard), 0);
    }
    store.settled().await.unwrap();
    assert_eq!(store.figures().disk, before);
    assert_eq!(store.purge(&What::Url("http://a/1".into()), Mode::Hard), 1);
    store.settled().await.unwrap();
    assert!(store.figures().disk > before);
    let store = reopen(store, folder.path()).await;
    assert!(fetch(&store, "http://a/1").await.is_none());
}

#[tokio::test]
async fn of_the_variants_on_disk_the_one_that_fits_comes_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 16 * MIB, DISK);
    for value in ["de", "en", "fr"] {
        put_meta(&store, "http://a/1", varied(value), &bytes(1, MIB / 2));
    }
    let store = reopen(store, folder.path()).await;
    let (key, before) = (key(&store, "http://a/1"), store.figures().memory);
    assert!(store.load(&key, |_| false).await.is_none());
    let is_german = |entry: &Entry| entry.meta().vary == [language("de")];
    let german = store.load(&key, is_german).await.unwrap();
    assert_eq!(ready(german.reader()).unwrap(), bytes(1, MIB / 2));
    let more = store.figures().memory - before;
    assert!(more < MIB as u64 * 3 / 4, "{more}");
    assert!(store.load(&key, |_| true).await.is_some());
}
