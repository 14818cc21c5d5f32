//! Traces out of their configuration.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use wiregate_sdk::types::Period;
use wiregate_sdk::value::{At, Node, Place, Problem, Value};

use super::{Context, files};
use crate::config::model;
use crate::observe::access_log::names_secret;
use crate::observe::traces::{Exporter, Receiver, Sampler, Target, Traces};

const QUEUE: std::ops::RangeInclusive<u32> = 64..=262_144;
const BATCH: std::ops::RangeInclusive<u32> = 1..=8192;
const SOONEST: Period = Period::millis(100);
const LATEST: Period = Period::seconds(60);
const MOST_ATTRIBUTES: usize = 64;
/// The longest name or value of an attribute that all spans have, in bytes.
const LONGEST: usize = 1024;
/// What helps where a secret is written out.
const REFERENCE: &str = "write a reference, such as `${env:NAME}`";
/// A field or a parameter is taken for one that holds a secret where its name has one of these in it as well.
const SECRETS: [&str; 3] = ["auth", "cookie", "key"];

/// Makes ready what is configured; the exporter of the running configuration stays where nothing
/// changes for it.
pub(super) fn build(
    config: Option<&At<model::Traces>>,
    source: &Value,
    cx: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Traces> {
    let config = config?;
    let before = problems.len();
    let mut reader = Reader { cx, problems };
    let document = source;
    let source = source.get("traces").unwrap_or(source);
    let url = reader.url(&config.endpoint, source);
    let headers = reader.headers(config, source);
    let ca = reader.ca(config, url.as_ref());
    let resource = reader.resource(config);
    reader.bounds(config);
    let (Some(url), false) = (url, problems.len() > before) else {
        return None;
    };
    let ca = ca.as_deref();
    let target = Target {
        receiver: digest(config, &url, &headers, ca),
        resource,
        queue: config.queue.value,
        batch: config.batch.value,
        interval: config.interval.get(),
    };
    Some(Traces {
        sampler: Sampler::new(config.sample),
        parent: config.parent,
        hides: filters_have_references(document),
        exporter: exporter(config, target, (url, headers, ca), cx, problems)?,
    })
}

/// The exporter of the running configuration, where it does what this one asks for, or a new one.
fn exporter(
    config: &model::Traces,
    target: Target,
    (url, headers, ca): (Url, HeaderMap, Option<&[u8]>),
    cx: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Exporter>> {
    let running = cx.old.and_then(|old| old.traces.as_ref());
    if let Some(running) = running.filter(|running| *running.exporter.target() == target) {
        return Some(running.exporter.clone());
    }
    let timeout = config.timeout.get();
    match Receiver::new(url, headers, ca, timeout, config.compression) {
        Ok(receiver) => {
            let metrics = cx.metrics.traces();
            Some(Arc::new(Exporter::new(target, receiver, metrics)))
        }
        Err(why) => {
            let path = config.ca.as_ref().unwrap_or(&config.endpoint);
            let message = match &config.ca {
                Some(path) => format!("`{}`: {why}", path.value),
                None => format!("the authorities of the system cannot be used: {why}"),
            };
            problems.push(Problem::new(path.place.clone(), message));
            None
        }
    }
}

struct Reader<'a> {
    cx: &'a Context<'a>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn say(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        self.problems.push(Problem::new(place.clone(), message));
        self.problems.last_mut().expect("just added")
    }

    /// What is written there is not shown.
    fn secret(&mut self, place: &Place, message: String, help: &str) {
        let problem = self.say(place, message);
        problem.secret = true;
        problem.help = Some(help.to_owned());
    }

    fn url(&mut self, endpoint: &At<String>, source: &Value) -> Option<Url> {
        const EXPECTED: &str = "expected a URL such as `http://127.0.0.1:4318/v1/traces`";
        let place = &endpoint.place;
        let url = Url::parse(endpoint).ok();
        let credentials = match &url {
            Some(url) => !url.username().is_empty() || url.password().is_some(),
            None => endpoint.contains('@'),
        };
        if credentials {
            let message = "there are credentials in the URL";
            let help = "write them as `headers: { authorization: \"${env:NAME}\" }`";
            self.secret(place, message.to_owned(), help);
            return None;
        }
        let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            self.say(place, format!("{EXPECTED}, found `{}`", endpoint.value));
            return None;
        };
        if url.fragment().is_some() {
            let message = format!(
                "{EXPECTED}, found one with a fragment, `{}`",
                endpoint.value
            );
            self.say(place, message);
            return None;
        }
        let mut names = url.query_pairs().map(|(name, _)| name.to_ascii_lowercase());
        if let Some(name) = names.find(|name| is_secret(name))
            && !source.get("endpoint").is_some_and(is_reference)
        {
            let message = format!("`{name}` holds a secret, which is not written out");
            self.secret(place, message, REFERENCE);
            return None;
        }
        Some(url)
    }

    fn headers(&mut self, config: &model::Traces, source: &Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &*config.headers {
            let name = name.get();
            let place = &value.place;
            let written = values(source).find(|written| written.place == *place);
            if *name == header::CONTENT_TYPE || *name == header::CONTENT_ENCODING {
                let message = format!("`{name}` says what is sent, and is set by the gateway");
                self.say(place, message);
                continue;
            }
            if is_secret(name.as_str()) && !written.is_some_and(is_reference) {
                let message = format!("`{name}` holds a secret, which is not written out");
                self.secret(place, message, REFERENCE);
                continue;
            }
            match HeaderValue::from_str(value) {
                Ok(mut field) => {
                    field.set_sensitive(true);
                    headers.insert(name.clone(), field);
                }
                Err(_) => {
                    let message = "expected a text of visible ASCII characters and spaces";
                    self.say(place, message).secret = true;
                }
            }
        }
        headers
    }

    fn ca(&mut self, config: &model::Traces, url: Option<&Url>) -> Option<Vec<u8>> {
        let path = config.ca.as_ref()?;
        if url.is_some_and(|url| url.scheme() == "http") {
            let message = "`ca` is for https, but `endpoint` is http";
            self.say(&path.place, message);
        }
        let read = files::read(path, self.cx.files);
        read.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn resource(&mut self, config: &model::Traces) -> Vec<(String, String)> {
        if config.service.is_empty() || config.service.len() > LONGEST {
            let message = format!("expected a name of 1 to {LONGEST} bytes");
            self.say(&config.service.place, message);
        }
        let mut all = vec![("service.name".to_owned(), config.service.value.clone())];
        let written = &config.resource;
        for (name, value) in written {
            if name == "service.name" {
                self.say(&value.place, "this is what `service` is for");
            } else if name.is_empty() || name.len() > LONGEST || value.len() > LONGEST {
                let message =
                    format!("expected a name of 1 to {LONGEST} bytes, and a value of no more");
                self.say(&value.place, message);
            }
            all.push((name.clone(), value.value.clone()));
        }
        if let Some((_, value)) = written.get_index(MOST_ATTRIBUTES) {
            let found = written.len();
            let message = format!("expected at most {MOST_ATTRIBUTES} attributes, found {found}");
            self.say(&value.place, message);
        }
        let version = "service.version";
        if !written.contains_key(version) {
            all.push((version.to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        }
        all
    }

    fn bounds(&mut self, config: &model::Traces) {
        let numbers = [(&config.queue, QUEUE), (&config.batch, BATCH)];
        for (number, range) in numbers {
            if !range.contains(&number.get()) {
                let (low, high) = (range.start(), range.end());
                let message = format!("expected {low} to {high} spans, found {}", number.value);
                self.say(&number.place, message);
            }
        }
        let (batch, queue) = (&config.batch, &config.queue);
        if batch.value > queue.value {
            let written = if is_written(batch) { batch } else { queue };
            let message = format!(
                "a batch of {} spans (`batch`) does not fit into a queue for {} (`queue`)",
                batch.value, queue.value
            );
            self.say(&written.place, message).help = Some("raise `queue`, or lower `batch`".into());
        }
        for time in [&config.interval, &config.timeout] {
            if !(SOONEST..=LATEST).contains(&time.value) {
                let message = format!(
                    "expected a time from `{SOONEST}` to `{LATEST}`, found `{}`",
                    time.value
                );
                self.say(&time.place, message);
            }
        }
    }
}

fn is_written(number: &At<NonZeroU32>) -> bool {
    number.place.line > 0
}

/// Whether a name says that what it names is a secret.
fn is_secret(name: &str) -> bool {
    names_secret(name) || SECRETS.iter().any(|part| name.contains(part))
}

/// Whether what a reference stands for is in the options of some filter.
fn filters_have_references(document: &Value) -> bool {
    let routes = match document.get("routes").map(|routes| &routes.node) {
        Some(Node::List(routes)) => routes.as_slice(),
        _ => &[],
    };
    let of_routes = routes.iter().filter_map(|route| route.get("filters"));
    let mut all = [document.get("filters"), document.get("all_routes")]
        .into_iter()
        .flatten()
        .chain(of_routes);
    all.any(has_reference)
}

fn has_reference(value: &Value) -> bool {
    match &value.node {
        Node::Map(entries) => entries.iter().any(|(_, value)| has_reference(value)),
        Node::List(values) => values.iter().any(has_reference),
        _ => is_reference(value),
    }
}

fn is_reference(value: &Value) -> bool {
    matches!(&value.node, Node::Scalar(scalar) if scalar.written.is_some())
}

/// The values of the fields, as they are written.
fn values(source: &Value) -> impl Iterator<Item = &Value> {
    let entries = match source.get("headers").map(|headers| &headers.node) {
        Some(Node::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(_, value)| value)
}

/// One number for all that makes a receiver what it is.
fn digest(config: &model::Traces, url: &Url, headers: &HeaderMap, ca: Option<&[u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(url.as_str().as_bytes());
    add(config.compression.word().as_bytes());
    add(&Duration::as_nanos(&config.timeout.get()).to_be_bytes());
    add(ca.unwrap_or(b"the system's"));
    for (name, value) in headers {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    digest.finalize().into()
}
