//! What metrics are kept for.

use crate::compile::{Snapshot, UNROUTED};
use crate::listen::tls::Tls;
use crate::observe::metrics::Names;

/// What a configuration has that is counted by name.
pub fn names(snapshot: &Snapshot) -> Names {
    let mut names = Names::default();
    names.routes.insert(UNROUTED.into());
    for route in &snapshot.routes {
        names.routes.insert(route.name.clone());
        let labels = route.chain.links.iter().map(|link| link.label.clone());
        names
            .links
            .extend(labels.map(|label| (route.name.clone(), label)));
    }
    for listening in &snapshot.listeners {
        let most = listening.max_connections;
        names.listeners.insert(listening.name.clone(), most);
        let entries = listening.tls.iter().flat_map(Tls::entries);
        names.certificates.extend(entries.map(|entry| {
            let key = (listening.name.clone(), entry.name.clone());
            (key, entry.expires)
        }));
    }
    let fetches = snapshot.fetches().into_iter();
    names
        .fetches
        .extend(fetches.map(|fetches| (fetches.filter, fetches.from.clone())));
    names
        .caches
        .extend(snapshot.stores.iter().map(|store| store.name.clone()));
    for (name, upstream) in &snapshot.upstreams {
        let members = upstream.members();
        let labels = members
            .endpoints
            .iter()
            .map(|endpoint| endpoint.label.clone());
        names.upstreams.insert(name.clone(), labels.collect());
    }
    names
}
