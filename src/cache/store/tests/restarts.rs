//! Random histories with restarts, held against a map.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The queue for the disk is a part of it: nothing is left unwritten.
const MEMORY: usize = 64 * MIB;

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u16, u8),
    Get(u8),
    Refresh(u8, u8),
    Purge(u8, u8, bool),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0..10_u8, 0..3_000_u16, 0..3_u8).prop_map(|(url, body, tag)| Act::Put(url, body, tag)),
        3 => (0..10_u8).prop_map(Act::Get),
        2 => (0..10_u8, 0..3_u8).prop_map(|(url, tag)| Act::Refresh(url, tag)),
        2 => (0..4_u8, 0..10_u8, any::<bool>()).prop_map(|(what, of, hard)| Act::Purge(what, of, hard)),
        1 => Just(Act::Restart),
    ]
}

#[derive(Clone, Debug)]
struct Simple {
    body: u16,
    tag: u8,
    soft: bool,
}

fn url(number: u8) -> String {
    format!("http://a/{number}")
}

struct Both {
    folder: tempfile::TempDir,
    store: Option<Arc<Store>>,
    model: HashMap<u8, Simple>,
}

impl Both {
    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().unwrap()
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Put(number, body, tag) => {
                let meta = meta(&[&tag.to_string()]);
                let bytes = bytes(body.into(), usize::from(body) * 50);
                put_meta(self.store(), &url(number), meta, &bytes);
                let soft = false;
                self.model.insert(number, Simple { body, tag, soft });
            }
            Act::Get(number) => self.check(number).await,
            Act::Refresh(number, tag) => {
                if let Some(old) = fetch(self.store(), &url(number)).await {
                    let meta = meta(&[&tag.to_string()]);
                    lead(self.store(), &url(number))
                        .refresh(&old, meta)
                        .unwrap();
                    let simple = self.model.get_mut(&number).unwrap();
                    (simple.tag, simple.soft) = (tag, false);
                }
            }
            Act::Purge(what, of, hard) => self.purge(what, of, hard),
            Act::Restart => {
                let store = self.store.take().unwrap();
                store.settled().await.unwrap();
                assert_eq!(store.figures().unwritten, 0);
                drop(store);
                self.store = Some(open(self.folder.path(), MEMORY, 64 * MIB));
            }
        }
    }

    fn purge(&mut self, what: u8, of: u8, hard: bool) {
        type Hits<'h> = &'h dyn Fn(u8, &Simple) -> bool;
        let (what, hits): (What, Hits<'_>) = match what {
            0 => (What::Url(url(of)), &|number, _| number == of),
            1 => (What::Tag((of % 3).to_string()), &|_, simple| {
                simple.tag == of % 3
            }),
            2 if of > 3 => (What::Url(url(of)), &|number, _| number == of),
            2 => (What::Prefix(url(of)), &|number, _| number == of),
            _ => (What::All, &|_, _| true),
        };
        self.model.retain(|number, simple| {
            let hits = hits(*number, simple);
            simple.soft |= hits;
            !(hits && hard)
        });
        let mode = if hard { Mode::Hard } else { Mode::Soft };
        self.store().purge(&what, mode);
    }

    async fn check(&self, number: u8) {
        let found = fetch(self.store(), &url(number)).await;
        let expected = self.model.get(&number);
        assert_eq!(found.is_some(), expected.is_some(), "{number}");
        if let (Some(found), Some(expected)) = (found, expected) {
            let body = bytes(expected.body.into(), usize::from(expected.body) * 50);
            assert!(read(found.reader()).await.unwrap() == body);
            assert_eq!(*found.meta().tags[0], *expected.tag.to_string());
            assert_eq!(found.is_purged(), expected.soft);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn a_store_with_a_disk_is_a_map_that_survives_restarts(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(folder.path(), MEMORY, 64 * MIB));
        let mut both = Both { folder, store, model: HashMap::new() };
        runtime.block_on(async {
            for act in acts {
                both.act(act).await;
            }
            both.act(Act::Restart).await;
            for number in 0..10 {
                both.check(number).await;
            }
        });
    }
}
