//! Listeners out of their configuration.

mod tls;

use indexmap::IndexMap;
use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{At, Problem};

use super::Files;
use super::snapshot::Listening;
use crate::config::model::{Bind, Listener};
use crate::listen::ProxyProtocol;

type Listeners = IndexMap<String, At<Listener>>;

/// Builds all listeners, as far as they are good.
pub(super) fn build(
    configs: &Listeners,
    kept: &Kept,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Vec<Listening> {
    let listeners = configs.iter().enumerate();
    listeners
        .filter_map(|(position, (name, config))| {
            check_clients(config, problems);
            check_trust(config, problems);
            let tls = match &config.tls {
                Some(tls) => Some(tls::build(name, tls, kept, files, problems)?),
                None => None,
            };
            Some(Listening {
                name: name.clone(),
                position,
                bind: config.bind.value.clone(),
                trusted: config.trusted_proxies.iter().copied().collect(),
                trusted_fields: config
                    .trusted_fields
                    .as_deref()
                    .copied()
                    .unwrap_or_default(),
                proxy_protocol: (config.proxy_protocol.as_ref()).map(|proxy| ProxyProtocol {
                    from: proxy.from.iter().copied().collect(),
                    timeout: proxy.timeout.into(),
                }),
                max_connections: usize::try_from(config.max_connections.get())
                    .unwrap_or(usize::MAX),
                max_connections_per_client: (config.max_connections_per_client.as_ref())
                    .map(|most| most.get()),
                tls,
            })
        })
        .collect()
}

fn check_trust(listener: &Listener, problems: &mut Vec<Problem>) {
    if let Some(fields) = &listener.trusted_fields
        && listener.trusted_proxies.is_empty()
    {
        let message = "`trusted_fields` says nothing without `trusted_proxies`";
        let help = "list the proxies that set these fields";
        problems.push(Problem::new(fields.place.clone(), message).help(help));
    }
}

/// All clients of a Unix socket have one address, unless a load balancer tells theirs.
fn check_clients(listener: &Listener, problems: &mut Vec<Problem>) {
    let Some(most) = &listener.max_connections_per_client else {
        return;
    };
    if matches!(listener.bind.value, Bind::Unix(_)) && listener.proxy_protocol.is_none() {
        let message = "clients of a Unix socket cannot be told from each other";
        problems.push(
            Problem::new(most.place.clone(), message)
                .help("use `max_connections`, or `proxy_protocol` if a load balancer is in front"),
        );
    }
}
