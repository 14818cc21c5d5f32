//! What goes over from the stores of one process to those of another.

use std::path::Path;
use std::time::SystemTime;

use http::StatusCode;

use super::*;
use crate::cache::store::{Asker, Find, Join};
use crate::cache::{Head, Stored, Times};

const LONG: Duration = Duration::from_secs(60);

/// A store with 4 MiB of memory.
pub fn named(name: &str, folder: Option<&Path>) -> NamedStore {
    NamedStore {
        name: name.into(),
        options: Options {
            memory: 4 << 20,
            largest: 1 << 20,
            disk: folder.map(|folder| Disk {
                path: folder.to_owned(),
                size: 64 << 20,
            }),
        },
        opened: Arc::default(),
    }
}

fn put(store: &Arc<Store>, url: &str) {
    put_body(store, url, b"body");
}

/// Stores a response with this body.
pub fn put_body(store: &Arc<Store>, url: &str, body: &[u8]) {
    let stored = Stored {
        head: Head::new(StatusCode::OK, &[]),
        vary: Vec::new(),
        tags: Vec::new(),
        times: Times {
            received: SystemTime::now(),
            age: Duration::ZERO,
            lifetime: LONG,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
        },
        marks: 0,
    };
    let key = store.key(url, &[b"GET"]);
    let Join::Lead(lead) = store.join(&key, Asker::Anybody, |_| false) else {
        panic!("somebody leads already");
    };
    let length = Some(body.len() as u64);
    let fill = lead.fill(stored, length, Duration::ZERO);
    let mut fill = fill.unwrap();
    fill.push(body).unwrap();
    fill.finish().unwrap();
}

/// Waits until the store knows what is in its folder, which a thread of its own finds out.
async fn is_found(store: &Store) {
    let found = async {
        while store.figures().finding {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, found).await.unwrap();
}

async fn is_there(store: &Arc<Store>, url: &str) -> bool {
    let key = store.key(url, &[b"GET"]);
    match store.find(&key, |_| true) {
        Find::Found(_) => true,
        Find::OnDisk => store.load(&key, |_| true).await.is_some(),
        Find::Missing => false,
    }
}

fn url(url: &str) -> What {
    What::Url(url.to_owned())
}

/// What the first store has goes over to the second, as far as that wants it, and no more than so much.
fn pass(old: &[NamedStore], new: &[NamedStore], most: Option<u64>, between: impl FnOnce()) {
    let arriving = Arriving::default();
    let mut passing = Passing::of(old, &Wanted::by(new), most);
    let pass = |passing: &mut Passing<'_>| {
        passing.find(Instant::now() + LONG);
        let said = passing.pass(Instant::now() + LONG, |said| {
            hear(&arriving, new, said);
            Ok(())
        });
        said.unwrap();
    };
    pass(&mut passing);
    between();
    pass(&mut passing);
    for purges in old.iter().filter_map(|store| store.purges(false)) {
        new.iter().for_each(|store| store.heed(&purges));
    }
}

fn hear(arriving: &Arriving, new: &[NamedStore], said: Said<'_>) {
    match said {
        Said::Stored(piece) => arriving.take(new, &piece),
        Said::Purged(purges) => new.iter().for_each(|store| store.heed(&purges)),
    }
}

/// Two stores, the second with this folder, where there is one.
fn two(folder: Option<&Path>) -> [NamedStore; 2] {
    [named("one", None), named("two", folder)]
}

fn opened(stores: [NamedStore; 2]) -> [NamedStore; 2] {
    for store in &stores {
        store.open_before(&Clock::default()).unwrap();
    }
    stores
}

#[tokio::test]
async fn what_is_purged_while_memory_goes_over_is_purged_where_it_goes() {
    let (old, new) = (opened(two(None)), opened(two(None)));
    let (one, two) = (old[0].store(), old[1].store());
    for name in ["changed", "kept"] {
        put(&one, &format!("http://a/{name}"));
        put(&two, &format!("http://a/{name}"));
    }
    // Another process was to come, and did not: what was purged then is there again since.
    drop(Passing::of(&old, &Wanted::by(&new), None));
    one.purge(&url("http://a/kept"), Mode::Hard);
    for store in &old {
        store.take_folder_back(&Clock::default()).unwrap();
    }
    one.purge(&url("http://a/kept"), Mode::Hard);
    put(&one, "http://a/kept");
    pass(&old, &new, None, || {
        put(&one, "http://a/late");
        one.purge(&url("http://a/changed"), Mode::Hard);
    });
    let (one, two) = (new[0].store(), new[1].store());
    assert!(!is_there(&one, "http://a/changed").await);
    for name in ["kept", "late"] {
        assert!(is_there(&one, &format!("http://a/{name}")).await, "{name}");
    }
    assert!(is_there(&two, "http://a/changed").await, "another store");
}

#[tokio::test]
async fn only_what_has_a_place_goes_over() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (
        opened(two(Some(folder.path()))),
        opened(two(Some(folder.path()))),
    );
    for store in &old {
        put(&store.store(), "http://a/1");
    }
    let wanted = |stores: &[NamedStore]| {
        let wanted = Wanted::by(stores).into_iter();
        wanted.map(|wanted| wanted.cache).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&new), ["one"], "the folder goes over by itself");
    pass(&old, &new, None, || {});
    assert!(is_there(&new[0].store(), "http://a/1").await);
    assert!(!is_there(&new[1].store(), "http://a/1").await);
    // One that has another folder, or none, takes what the old one has in memory.
    let other = tempfile::tempdir().unwrap();
    for folder in [None, Some(other.path())] {
        let new = opened(two(folder));
        assert_eq!(wanted(&new), ["one", "two"]);
        pass(&old, &new, None, || {});
        assert!(is_there(&new[1].store(), "http://a/1").await);
    }
    // Another name is another cache.
    let renamed = opened([named("three", None), named("four", None)]);
    pass(&old, &renamed, None, || {});
    assert!(!is_there(&renamed[0].store(), "http://a/1").await);
}

#[tokio::test]
async fn what_goes_over_takes_no_more_than_there_is() {
    let [old, new, none] = [(); 3].map(|()| opened(two(None)));
    for number in 0..2000 {
        for store in &old {
            put(&store.store(), &format!("http://a/{number}"));
        }
    }
    let used = || {
        new.iter()
            .map(|store| store.store().figures().memory)
            .sum::<u64>()
    };
    let empty = used();
    let most = 400_000;
    pass(&old, &new, Some(most), || {});
    let entries = |stores: &[NamedStore]| {
        let each = stores.iter().map(|store| store.store().figures().entries);
        each.collect::<Vec<_>>()
    };
    let there = entries(&new);
    assert!(
        there.iter().all(|count| (50..1500).contains(count)),
        "{there:?}"
    );
    let used = used() - empty;
    assert!(used <= most, "with its tables: {used}");
    pass(&old, &none, Some(0), || {});
    assert_eq!(entries(&none), [0, 0]);
}

#[tokio::test]
async fn what_is_purged_while_a_folder_goes_over_is_purged_where_it_goes() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let [old, new] = ["old", "new"].map(|name| named(name, Some(folder.path())));
    old.open(&clock).unwrap();
    for url in ["http://a/changed", "http://a/kept"] {
        put(&old.store(), url);
    }
    assert!(!new.open_before(&clock).unwrap(), "the old one has it");
    let leaving = old.give_up_folder().unwrap();
    leaving.done(Instant::now() + LONG).unwrap();
    assert!(old.purges(false).is_none());
    old.store().purge(&url("http://a/changed"), Mode::Hard);
    let purges = old.purges(false).unwrap();
    let told = serde_json::to_vec(&purges).unwrap();
    new.heed(&Purges::read(&told));
    new.take_folder(&clock).unwrap();
    let store = new.store();
    assert!(store.options().disk.is_some());
    is_found(&store).await;
    assert!(!is_there(&store, "http://a/changed").await);
    assert!(is_there(&store, "http://a/kept").await);
    // It is there still for the folder, should it come back; and once it was told, it is not told again.
    assert_eq!(old.purges(true), Some(purges));
    assert_eq!(old.purges(true), None);
}

#[tokio::test]
async fn purges_are_for_the_store_of_the_name_or_the_folder_and_what_nobody_can_read_for_all() {
    let clock = Clock::default();
    let stores = ["pages", "other"].map(|name| named(name, None));
    for store in &stores {
        store.open(&clock).unwrap();
        put(&store.store(), "http://a/1");
    }
    let purges = |cache: &str, folder: &str| {
        let text = format!(
            r#"{{"cache":"{cache}","folder":"{folder}","each":[[{{"url":"http://a/1"}},"hard"]]}}"#
        );
        Purges::read(text.as_bytes())
    };
    for name in ["pages", "third"] {
        stores
            .iter()
            .for_each(|store| store.heed(&purges(name, "/x")));
    }
    assert!(!is_there(&stores[0].store(), "http://a/1").await);
    assert!(is_there(&stores[1].store(), "http://a/1").await);
    assert!(purges("third", "/x").are_for("pages", Some("/x")));
    let later = br#"{"cache":"third","folder":null,"each":[[{"colour":"red"},"hard"]]}"#;
    stores
        .iter()
        .for_each(|store| store.heed(&Purges::read(later)));
    assert!(!is_there(&stores[1].store(), "http://a/1").await);
}

#[tokio::test]
async fn a_folder_that_nobody_had_meanwhile_is_validated_before_its_use() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::default());
    let with_disk = || named("pages", Some(folder.path()));
    let first = with_disk();
    first.open(&clock).unwrap();
    put(&first.store(), "http://a/1");
    let leaving = first.give_up_folder().unwrap();
    leaving.done(Instant::now() + LONG).unwrap();
    // Somebody works without it, and what he purges it does not hear of.
    let later = with_disk();
    assert!(later.open_before(&clock).unwrap());
    put(&later.store(), "http://a/2");
    assert!(later.open_before(&clock).unwrap(), "it is open");
    let store = later.store();
    is_found(&store).await;
    let soft = async |url: &str| {
        let key = store.key(url, &[b"GET"]);
        let entry = match store.find(&key, |_| true) {
            Find::Found(entry) => entry,
            _ => store.load(&key, |_| true).await.unwrap(),
        };
        entry.is_purged()
    };
    assert!(soft("http://a/1").await);
    assert!(!soft("http://a/2").await);
}

#[tokio::test]
async fn purges_while_memory_goes_over_are_told_before_they_are_too_many() {
    let (old, new) = (opened(two(None)), opened(two(None)));
    for number in 0..200 {
        put(&old[0].store(), &format!("http://a/{number}"));
    }
    let (arriving, mut said_purges, mut purged) = (Arriving::default(), 0, 0..20_000);
    let mut passing = Passing::of(&old, &Wanted::by(&new), None);
    passing.find(Instant::now() + LONG);
    // Each time that something is said, a thousand URLs are changed of which nothing is stored, and one of which something is.
    let mut change = || {
        for number in purged.by_ref().take(1000) {
            let stored = &old[0].store();
            stored.purge(&url(&format!("http://a/not/{number}")), Mode::Hard);
            stored.purge(&url(&format!("http://a/{}", number / 1000)), Mode::Hard);
        }
    };
    change();
    let said = passing.pass(Instant::now() + LONG, |said| {
        said_purges += usize::from(matches!(said, Said::Purged(_)));
        hear(&arriving, &new, said);
        change();
        Ok(())
    });
    said.unwrap();
    assert!(said_purges >= 10, "{said_purges}");
    assert_eq!(purged.len(), 0, "all of them were changed");
    for purges in old.iter().filter_map(|store| store.purges(false)) {
        new.iter().for_each(|store| store.heed(&purges));
    }
    for number in 0..200 {
        let there = is_there(&new[0].store(), &format!("http://a/{number}")).await;
        assert_eq!(there, number >= 20, "{number}");
    }
}

#[test]
fn what_small_stores_leave_of_their_time_is_for_the_large_ones() {
    let (old, new) = (opened(two(None)), opened(two(None)));
    for number in 0..100 {
        put(&old[0].store(), &format!("http://a/{number}"));
    }
    put(&old[1].store(), "http://a/1");
    let mut passing = Passing::of(&old, &Wanted::by(&new), None);
    passing.find(Instant::now() + LONG);
    let mut order = Vec::new();
    let said = passing.pass(Instant::now() + LONG, |said| {
        if let Said::Stored(piece) = said {
            order.push(piece.cache);
        }
        Ok(())
    });
    said.unwrap();
    assert_eq!(order, ["two", "one"]);
    let until = Instant::now() + LONG;
    assert!(passing::share(until, 1) >= until - Duration::from_millis(1));
    assert!(passing::share(until, 3) < until - LONG / 2);
}

#[test]
fn an_attempt_that_comes_to_nothing_leaves_nothing_to_be_told() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = opened(two(Some(folder.path())));
    let new = opened(two(Some(other.path())));
    drop(Passing::of(&old, &Wanted::by(&new), None));
    for store in &old {
        store.store().purge(&url("http://a/1"), Mode::Hard);
        assert_eq!(store.store().look_at_purges().len(), 1);
        store.take_folder_back(&Clock::default()).unwrap();
        store.store().purge(&url("http://a/2"), Mode::Hard);
        assert!(store.store().look_at_purges().is_empty());
    }
}
