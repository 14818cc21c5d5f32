//! What goes over from the stores of one process to those of another.

use std::path::Path;
use std::time::SystemTime;

use pingora_http::ResponseHeader;

use super::*;
use crate::cache::store::{Asker, Find, Join};
use crate::cache::{Stored, Times};

const LONG: Duration = Duration::from_secs(60);

fn named(name: &str, folder: Option<&Path>) -> NamedStore {
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
    let stored = Stored {
        head: ResponseHeader::build(200, None).unwrap(),
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
    let key = store.key(url, [&b"GET"[..]]);
    let Join::Lead(lead) = store.join(&key, Asker::Anybody, |_| false) else {
        panic!("somebody leads already");
    };
    let mut fill = lead.fill(stored, Some(4), Duration::ZERO).unwrap();
    fill.push(b"body").unwrap();
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
    let key = store.key(url, [&b"GET"[..]]);
    match store.find(&key, |_| true) {
        Find::Found(_) => true,
        Find::OnDisk => store.load(&key, |_| true).await.is_some(),
        Find::Missing => false,
    }
}

fn url(url: &str) -> What {
    What::Url(url.to_owned())
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
