//! The stores of the cache: what is in them, and purges.

use std::sync::Arc;

use http::StatusCode;
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{Admin, Answer, bad_request, document, flag, text};
use crate::cache::store::{Mode, Store, What};
use crate::compile::Snapshot;
use crate::proxy::normalised_url;

const HOW: &str =
    "expected one of `url=`, `prefix=`, `tag=` and `all`, and besides `cache=` and `soft`";

/// What a purge is asked to do.
#[derive(Debug, PartialEq, Eq)]
struct Purge {
    what: What,
    mode: Mode,
    /// The only store that it is about.
    cache: Option<String>,
}

impl Admin {
    /// What is in each store.
    pub(super) fn caches(&self) -> Answer {
        let live = self.shared.live.load();
        let each = live.stores.iter().map(|named| {
            let figures = named.store().figures();
            let state = json!({
                "memory": figures.memory,
                "disk": figures.disk,
                "entries": figures.entries,
                "evicted": figures.evicted,
                "rejected": figures.rejected,
                "purged": figures.purged,
                "discarded": figures.discarded,
                "corrupt": figures.corrupt,
                "unwritten": figures.unwritten,
            });
            (named.name.to_string(), state)
        });
        let caches: Map<String, Value> = each.collect();
        document(StatusCode::OK, &json!({ "caches": caches }))
    }

    /// Purges. It holds once it is answered, and also after a restart.
    pub(super) async fn purge(&self, query: &str) -> Answer {
        let live = self.shared.live.load_full();
        let purge = match Purge::read(query, &live) {
            Ok(purge) => purge,
            Err(why) => return bad_request(&why),
        };
        let named = |cache: &str| live.stores.iter().find(|named| *named.name == *cache);
        let stores: Vec<Arc<Store>> = match &purge.cache {
            None => live.stores.iter().map(|named| named.store()).collect(),
            Some(cache) => match named(cache) {
                Some(named) => vec![named.store()],
                None => {
                    let why = format!("there is no cache `{cache}`\n");
                    return text(StatusCode::NOT_FOUND, &why);
                }
            },
        };
        let all = stores.clone();
        // A walk through the whole store is not for a thread that answers others.
        let walked = tokio::task::spawn_blocking(move || {
            all.iter()
                .map(|store| store.purge(&purge.what, purge.mode))
                .sum::<usize>()
        });
        let Ok(purged) = walked.await else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the purge failed\n");
        };
        for store in &stores {
            if let Err(error) = store.settled().await {
                let why = format!("purged in memory, but not on disk: {error}\n");
                return text(StatusCode::INTERNAL_SERVER_ERROR, &why);
            }
        }
        document(StatusCode::OK, &json!({ "purged": purged }))
    }
}

impl Purge {
    fn read(query: &str, live: &Snapshot) -> Result<Self, String> {
        let url = Url::parse(&format!("http://localhost/?{query}")).map_err(|_| HOW)?;
        let (mut what, mut mode, mut cache) = (None, Mode::Hard, None);
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            let told = match &*name {
                "url" => What::Url(normal(&value, live)?),
                "prefix" => What::Prefix(normal(&value, live)?),
                "tag" if !value.is_empty() => What::Tag(value),
                "all" => match flag(&name, &value)? {
                    true => What::All,
                    false => continue,
                },
                "soft" => {
                    mode = match flag(&name, &value)? {
                        true => Mode::Soft,
                        false => Mode::Hard,
                    };
                    continue;
                }
                "cache" => {
                    cache = Some(value);
                    continue;
                }
                _ => return Err(format!("{HOW}, found `{name}`")),
            };
            if what.replace(told).is_some() {
                return Err(format!("{HOW}, found several"));
            }
        }
        let what = what.ok_or(HOW)?;
        Ok(Self { what, mode, cache })
    }
}

/// A URL as it is stored.
fn normal(text: &str, live: &Snapshot) -> Result<String, String> {
    let wrong = || format!("expected a URL such as `https://example.com/a`, found `{text}`");
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let path = |path: &str| live.router.normalise(path).ok().map(Into::into);
    normalised_url(&url, path).ok_or_else(wrong)
}
