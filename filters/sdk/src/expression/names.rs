//! The names of facts, and what to say about a name that is none.

use http::HeaderName;

use super::fact::{Fact, Side};
use crate::types::found;

/// Every name; those with `[]` need a name of their own.
const NAMES: [&str; 28] = [
    "request.method",
    "request.path",
    "request.query[]",
    "request.host",
    "request.scheme",
    "request.headers[]",
    "request.cookies[]",
    "request.id",
    "request.target",
    "request.time",
    "client.address",
    "client.peer",
    "client.port",
    "client.certificate.subject",
    "client.certificate.names",
    "client.certificate.sha256",
    "route",
    "params[]",
    "identity.name",
    "identity.groups",
    "identity.scopes",
    "identity.claims[]",
    "identity.plan",
    "identity.by",
    "consumer",
    "response.status",
    "response.headers[]",
    "request",
];

/// The fact behind a name, given by its parts: `["request", "headers", "x-id"]`.
///
/// # Errors
/// That there is none, and which one may have been meant.
pub(super) fn resolve(path: &[&str]) -> Result<Fact, String> {
    Ok(match *path {
        ["request", "method"] => Fact::Method,
        ["request", "path"] => Fact::Path,
        ["request", "query", name] => Fact::Query(name.into()),
        ["request", "host"] => Fact::Host,
        ["request", "scheme"] => Fact::Scheme,
        ["request", "headers", name] => Fact::Header(Side::Request, field(name)?),
        ["request", "cookies", name] => Fact::Cookie(name.into()),
        ["request", "id"] => Fact::Id,
        ["request", "target"] => Fact::Target,
        ["request", "time"] => Fact::Time,
        ["client", "address"] => Fact::Address,
        ["client", "peer"] => Fact::Peer,
        ["client", "port"] => Fact::Port,
        ["client", "certificate", "subject"] => Fact::Subject,
        ["client", "certificate", "names"] => Fact::Names,
        ["client", "certificate", "sha256"] => Fact::Sha256,
        ["route"] => Fact::Route,
        ["params", name] => Fact::Param(name.into()),
        ["identity", "name"] => Fact::Name,
        ["identity", "groups"] => Fact::Groups,
        ["identity", "scopes"] => Fact::Scopes,
        ["identity", "plan"] => Fact::Plan,
        ["identity", "claims", ref claim @ ..] if !claim.is_empty() => {
            Fact::Claim(claim.iter().map(|name| Box::from(*name)).collect())
        }
        ["consumer"] => Fact::Consumer,
        ["identity", "by"] => Fact::By,
        ["response", "status"] => Fact::Status,
        ["response", "headers", name] => Fact::Header(Side::Response, field(name)?),
        _ => return Err(explain(path)),
    })
}

fn field(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("expected the name of a header field, found {}", found(name)))
}

/// Whether a name stands for several facts, each with a name of its own.
pub(super) fn is_map(path: &[&str]) -> bool {
    let written = format!("{}[]", path.join("."));
    NAMES.contains(&written.as_str())
}

/// Whether names can begin with this word.
pub(super) fn is_root(word: &str) -> bool {
    NAMES
        .iter()
        .any(|name| name.split(['.', '[']).next() == Some(word))
}

fn explain(path: &[&str]) -> String {
    let written = path.join(".");
    if is_map(path) {
        return format!("expected a name in `{written}`, written out as in `{written}[\"name\"]`");
    }
    let inside = format!("{written}.");
    let parts: Vec<&str> = NAMES
        .into_iter()
        .filter(|n| n.starts_with(&inside))
        .collect();
    if !parts.is_empty() {
        return format!(
            "`{written}` stands for several facts, expected one of `{}`",
            parts.join("`, `").replace("[]", "[\"name\"]")
        );
    }
    if let Some(whole) = (1..path.len()).find(|n| resolve(&path[..*n]).is_ok()) {
        let rest = path[whole..].join(".");
        return format!(
            "`{}` has nothing inside, found `.{rest}`",
            path[..whole].join(".")
        );
    }
    match nearest(path) {
        Some(name) => format!("unknown name `{written}`, did you mean `{name}`?"),
        None => format!(
            "unknown name `{written}`, expected `request`, `client`, `route`, `params`, `identity`, `consumer` or `response`"
        ),
    }
}

/// The name that is most like this one, with whatever comes after it kept.
fn nearest(path: &[&str]) -> Option<String> {
    let names = NAMES.iter().map(|name| name.trim_end_matches("[]"));
    if let [word] = path {
        let ends = |name: &&str| name.rsplit('.').next() == Some(*word);
        if let Some(name) = names.clone().find(ends) {
            return Some(name.to_owned());
        }
    }
    names
        .filter_map(|name| {
            let parts = name.split('.').count();
            let head = path.get(..parts)?.join(".");
            let distance = strsim::damerau_levenshtein(&head, name);
            let rest = &path[parts..];
            let close = distance > 0 && distance <= 1 + name.len() / 5;
            close.then(|| (distance, [&[name], rest].concat().join(".")))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(path: &str) -> String {
        resolve(&path.split('.').collect::<Vec<_>>()).unwrap_err()
    }

    #[test]
    fn every_name_is_a_fact() {
        for name in NAMES.iter().filter(|name| **name != "request") {
            let (name, map) = match name.strip_suffix("[]") {
                Some(name) => (name, Some("x")),
                None => (*name, None),
            };
            let path: Vec<&str> = name.split('.').chain(map).collect();
            assert!(resolve(&path).is_ok(), "{name}");
        }
    }

    #[test]
    fn suggests_what_was_meant() {
        for (path, meant) in [
            ("request.hedaers.x", "did you mean `request.headers.x`?"),
            ("clint.address", "did you mean `client.address`?"),
            ("request.methd", "did you mean `request.method`?"),
            ("path", "did you mean `request.path`?"),
            ("headers", "did you mean `request.headers`?"),
            ("consumr", "did you mean `consumer`?"),
            ("reqest", "did you mean `request`?"),
            ("identity.group", "did you mean `identity.groups`?"),
        ] {
            assert!(error(path).ends_with(meant), "{}", error(path));
        }
        assert!(error("banana").contains("expected `request`, `client`"));
    }

    #[test]
    fn says_what_is_missing_or_too_much() {
        assert_eq!(
            error("request.headers"),
            "expected a name in `request.headers`, written out as in `request.headers[\"name\"]`"
        );
        assert!(error("client").contains("expected one of `client.address`, `client.peer`"));
        assert_eq!(
            error("request.method.x"),
            "`request.method` has nothing inside, found `.x`"
        );
        assert!(error("request.headers.a b").contains("the name of a header field"));
    }
}
