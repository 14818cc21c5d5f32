//! Records that are well formed, and are not what the records that point at them, or the index, take them for.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::disk::{Head, Kind, Record, sum_of_block};
use super::disk::{DISK, reopen, segments};
use super::*;

const SEGMENT: u32 = 1;
/// It stays on disk, and two of them fit into a segment.
const BODY: usize = 24 * 64 * 1024;

/// The records of the only segment, with where they stand.
fn records(folder: &Path) -> Vec<(u32, Record)> {
    let file = fs::read(&segments(folder)[0]).unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let Head::Is(length) = Record::head_of(&file[at..]) else {
            panic!("no record at {at}");
        };
        let mut head = file[at..at + length].to_vec();
        let record = Record::decode(&mut head, SEGMENT, at as u32).unwrap();
        let next = at + length + record.after_head() as usize;
        found.push((at as u32, record));
        at = next;
    }
    found
}

/// Writes this record where another one as long stands, with this body behind it.
fn forge(folder: &Path, at: u32, record: &Record, body: &[u8]) {
    let path = &segments(folder)[0];
    let file = fs::File::options().write(true).open(path).unwrap();
    let head = record.encode(SEGMENT, at);
    file.write_all_at(&head, at.into()).unwrap();
    let behind = u64::from(at) + head.len() as u64;
    file.write_all_at(body, behind).unwrap();
}

/// A store whose entries `http://a/1` and so on have each their body in one record and their head in the next one, and
/// the records.
async fn refreshed<const COUNT: usize>(folder: &Path) -> (Arc<Store>, [(u32, Record); COUNT]) {
    let store = open(folder, 16 * MIB, DISK);
    for number in 1..=COUNT as u64 / 2 {
        let url = format!("http://a/{number}");
        let entry = put(&store, &url, &bytes(number, BODY));
        store.settled().await.unwrap();
        lead(&store, &url).refresh(&entry, meta(&["new"])).unwrap();
    }
    let store = reopen(store, folder).await;
    let records: [_; COUNT] = records(folder).try_into().unwrap();
    let kinds: Vec<_> = records.iter().map(|(_, record)| record.kind).collect();
    assert_eq!(kinds, [Kind::Entry, Kind::Head].repeat(COUNT / 2));
    (store, records)
}

async fn is_missed(store: &Arc<Store>) {
    let before = store.figures().corrupt;
    assert!(fetch(store, "http://a/1").await.is_none());
    assert!(store.figures().corrupt > before);
    // Nobody runs into it again.
    assert_eq!(store.figures().entries, 0);
    put(store, "http://a/1", b"new");
    assert!(fetch(store, "http://a/1").await.is_some());
}

#[tokio::test]
async fn a_body_of_another_key_is_not_served() {
    for before in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, [(at, mut body), _]) = refreshed(folder.path()).await;
        let other = bytes(2, BODY);
        let blocks = other.chunks(BODY / body.sums.len()).enumerate();
        body.sums = blocks
            .map(|(number, block)| sum_of_block(block, number))
            .collect();
        *body.text.last_mut().unwrap() ^= 1;
        forge(folder.path(), at, &body, &other);
        if before {
            store = reopen(store, folder.path()).await;
        }
        is_missed(&store).await;
    }
}

#[tokio::test]
async fn a_body_whose_url_ends_elsewhere_in_the_key_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [(at, mut body), _]) = refreshed(folder.path()).await;
    body.url -= 1;
    forge(folder.path(), at, &body, &[]);
    is_missed(&store).await;
}

#[tokio::test]
async fn what_is_no_entry_is_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [(at, mut body), _]) = refreshed(folder.path()).await;
    // It has no checksums then; the head is as long as it was.
    body.kind = Kind::Void;
    body.tags = [body.tags, std::mem::take(&mut body.sums)].concat().into();
    forge(folder.path(), at, &body, &[]);
    is_missed(&store).await;
}

#[tokio::test]
async fn what_is_no_head_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (store, [_, (at, mut head)]) = refreshed(folder.path()).await;
    head.kind = Kind::Purge;
    head.body = None;
    head.tags = [head.tags, [0].into()].concat().into();
    forge(folder.path(), at, &head, &[]);
    is_missed(&store).await;
}

#[tokio::test]
async fn a_head_of_the_body_of_another_one_is_not_served() {
    for before in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, records) = refreshed(folder.path()).await;
        let [_, (_, one), _, (at, mut two)] = records;
        two.body = one.body;
        forge(folder.path(), at, &two, &[]);
        if before {
            store = reopen(store, folder.path()).await;
        }
        assert!(fetch(&store, "http://a/2").await.is_none());
        assert!(store.figures().corrupt > 0);
    }
}
