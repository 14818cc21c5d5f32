//! Where an upstream's endpoints come from, out of its configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use wiregate_sdk::build;
use wiregate_sdk::value::{At, Place, Problem, ShortOrFull};

use super::files::{Files, beside};
use crate::config::model::Config;
use crate::config::model::dns::Dns;
use crate::config::model::upstream::{Endpoint, EndpointOptions, Upstream};
use crate::upstream::{EndpointFile, Listed, MOST_ENDPOINTS, Rank, Reach, Source};

/// Servers to ask, at most.
const MOST_SERVERS: usize = 8;
/// What the system knows of names. A change makes a reload, and so a new resolver.
pub(super) const SYSTEM: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How names are resolved.
pub(super) fn dns(config: &Config, problems: &mut Vec<Problem>) -> Dns {
    let Some(dns) = &config.dns else {
        return Dns::default();
    };
    let mut say = |place: &Place, message: String| {
        problems.push(Problem::new(place.clone(), message));
    };
    let count = dns.servers.len();
    if count > MOST_SERVERS {
        let message = format!("expected at most {MOST_SERVERS} servers, found {count}");
        say(&dns.servers[MOST_SERVERS].place, message);
    }
    for server in dns.servers.iter().filter(|server| server.port() == 0) {
        let message = format!("expected a port from 1 to 65535 in `{}`", server.value);
        say(&server.place, message);
    }
    let (shortest, longest): (Duration, Duration) = (dns.min_ttl.into(), dns.max_ttl.into());
    if shortest > longest {
        let (min, max) = (dns.min_ttl, dns.max_ttl);
        let message = format!("expected `min_ttl` ({min}) to be no longer than `max_ttl` ({max})");
        say(&dns.place, message);
    }
    dns.value.clone()
}

/// The sources that are written.
pub(super) fn sources(
    upstream: &str,
    config: &At<Upstream>,
    reach: &Reach,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Vec<Source> {
    problems.extend(wrong_count(upstream, config));
    let mut seen: HashMap<String, &Place> = HashMap::new();
    let mut sources = Vec::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        let place = &endpoint.place;
        match source(endpoint, reach, files) {
            Ok(source) => {
                let what = what(&source);
                if let Some(first) = seen.get(&what) {
                    let problem = Problem::new(place.clone(), format!("{what} is there twice"));
                    problems.push(problem.related((*first).clone(), "first here"));
                }
                seen.insert(what, place);
                sources.push(source);
            }
            Err(more) => problems.extend(more),
        }
    }
    sources
}

fn wrong_count(upstream: &str, config: &At<Upstream>) -> Option<Problem> {
    let message = match config.endpoints.len() {
        0 => format!("upstream `{upstream}` has no endpoints"),
        1..=MOST_ENDPOINTS => return None,
        count => format!("expected at most {MOST_ENDPOINTS} endpoints, found {count}"),
    };
    Some(Problem::new(config.place.clone(), message))
}

fn source(endpoint: &At<Endpoint>, reach: &Reach, files: &Files) -> Result<Source, Vec<Problem>> {
    let place = &endpoint.place;
    let source = match &endpoint.value {
        ShortOrFull::Short(target) => Source::Listed(Listed {
            target: target.clone(),
            weight: 1,
            rank: Rank::default(),
        }),
        ShortOrFull::Full(options) => full(options, place, reach, files)?,
    };
    let checked = check(&source, reach);
    checked.map_err(|message| vec![Problem::new(place.clone(), message)])?;
    Ok(source)
}

fn check(source: &Source, reach: &Reach) -> Result<(), String> {
    match source {
        Source::Listed(listed) => listed.check(reach),
        Source::Service(name, _) => {
            let named = reach.accepts_name(name);
            named.map_err(|why| format!("the service `{name}` cannot be used: {why}"))
        }
        // It was checked as it was read.
        Source::File(_) => Ok(()),
    }
}

fn what(source: &Source) -> String {
    match source {
        Source::Listed(listed) => format!("endpoint `{}`", listed.target),
        Source::Service(name, _) => format!("the service `{name}`"),
        Source::File(file) => format!("the file `{}`", file.path().display()),
    }
}

/// A source that is written as a map.
fn full(
    options: &EndpointOptions,
    place: &Place,
    reach: &Reach,
    files: &Files,
) -> Result<Source, Vec<Problem>> {
    let say = |message: &str| vec![Problem::new(place.clone(), message)];
    let weightless = |source: Source, from: &str| match options.weight {
        None => Ok(source),
        Some(_) => Err(say(&format!("expected no `weight` here: {from}"))),
    };
    let rank = Rank {
        priority: options.priority.unwrap_or(0),
        zone: options.zone.as_ref().map(|zone| zone.as_str().into()),
    };
    match (&options.address, &options.srv, &options.file) {
        (Some(target), None, None) => Ok(Source::Listed(Listed {
            target: target.clone(),
            weight: options.weight.map_or(1, Into::into),
            rank,
        })),
        (None, Some(name), None) => {
            let service = Source::Service(name.clone(), rank);
            weightless(service, "SRV records have weights")
        }
        (None, None, Some(_)) if options.priority.is_some() || options.zone.is_some() => Err(say(
            "expected `priority` and `zone` in the file, with the endpoints",
        )),
        (None, None, Some(path)) => {
            let at = beside(path);
            let mut noted = build::Files::default();
            noted.note(&at);
            let file = EndpointFile::open(at, &path.place, reach);
            if file.is_err() {
                // Only a bad one makes a reload when it changes: a good one is looked after.
                files.borrow_mut().extend(noted);
            }
            let file = file?;
            weightless(Source::File(Arc::new(file)), "the file has weights")
        }
        _ => Err(say("expected exactly one of `address`, `srv` and `file`")),
    }
}
