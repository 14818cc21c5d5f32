//! How specific a match is: the total order in which routes are tried.

use ipnet::IpNet;

use super::host::HostPattern;
use super::matching::Match;
use super::path::{PathPattern, Segment};

/// How specific one host and one path of a route are, together with the route's conditions. The
/// greater one is tried first; fields count in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    host: HostRank,
    path: PathRank,
    conditions: ConditionRank,
    priority: i32,
}

/// A longer domain is below a shorter one wherever both match, so its length says it all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Any,
    Below(usize),
    Exact,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Any,
    Regex,
    Prefix(usize, Box<[SegmentRank]>),
    Parameters(Box<[SegmentRank]>),
    Exact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    Parameter,
    Literal,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ConditionRank {
    methods: bool,
    headers: usize,
    query: usize,
    cookies: usize,
    /// The shortest prefix of all networks, counted as in IPv6.
    client: Option<u8>,
    when: bool,
}

impl Specificity {
    /// The rank of one host and one path of a route.
    pub fn new(host: &HostPattern, path: &PathPattern, matching: &Match, priority: i32) -> Self {
        let nets = matching.client.iter().flatten();
        Self {
            host: match host {
                HostPattern::Any => HostRank::Any,
                HostPattern::Below(domain) => HostRank::Below(domain.len()),
                HostPattern::Exact(_) => HostRank::Exact,
            },
            path: PathRank::new(path),
            conditions: ConditionRank {
                methods: matching.methods.is_some(),
                headers: matching.headers.len(),
                query: matching.query.len(),
                cookies: matching.cookies.len(),
                client: nets.map(|net| prefix(net.get())).min(),
                when: matching.when.is_some(),
            },
            priority,
        }
    }

    /// Whether only the priority tells two apart, if anything does.
    pub(super) fn ties(&self, other: &Self) -> bool {
        (&self.host, &self.path, &self.conditions) == (&other.host, &other.path, &other.conditions)
    }

    /// The priority that was written, or 0.
    pub(super) fn priority(&self) -> i32 {
        self.priority
    }

    /// In one word, what makes a greater one greater than this one.
    pub(super) fn lacks(&self, greater: &Self) -> Lack {
        let (mine, theirs) = (&self.conditions, &greater.conditions);
        if self.host != greater.host {
            Lack::Host
        } else if self.path != greater.path {
            Lack::Path
        } else if mine.methods != theirs.methods {
            Lack::Methods
        } else if mine.headers != theirs.headers {
            Lack::Headers
        } else if mine.query != theirs.query {
            Lack::Query
        } else if mine.cookies != theirs.cookies {
            Lack::Cookies
        } else if mine.client != theirs.client {
            Lack::Client
        } else if mine.when != theirs.when {
            Lack::When
        } else {
            Lack::Priority
        }
    }
}

/// The first field in which one [`Specificity`] is less than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Host,
    Path,
    Methods,
    Headers,
    Query,
    Cookies,
    Client,
    When,
    Priority,
}

impl PathRank {
    fn new(path: &PathPattern) -> Self {
        match path {
            PathPattern::Any => Self::Any,
            PathPattern::Regex(_) => Self::Regex,
            PathPattern::Exact { .. } => Self::Exact,
            PathPattern::Segments { segments, open, .. } => {
                let shape = segments.iter().map(|segment| match segment {
                    Segment::Literal(_) => SegmentRank::Literal,
                    Segment::Parameter(_) => SegmentRank::Parameter,
                });
                if *open {
                    Self::Prefix(segments.len(), shape.collect())
                } else {
                    Self::Parameters(shape.collect())
                }
            }
        }
    }
}

fn prefix(net: IpNet) -> u8 {
    match net {
        IpNet::V4(net) => 96 + net.prefix_len(),
        IpNet::V6(net) => net.prefix_len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(json: &str, priority: i32) -> Specificity {
        let matching: Match = serde_json::from_str(json).unwrap();
        let host = matching
            .host
            .as_ref()
            .map_or(HostPattern::Any, |hosts| hosts[0].clone());
        let path = matching
            .path
            .as_ref()
            .map_or(PathPattern::Any, |paths| paths[0].clone());
        Specificity::new(&host, &path, &matching, priority)
    }

    /// The table of `docs/routing.md`, from the most specific to the least.
    #[test]
    fn the_documented_order() {
        let order = [
            r#"{"host": "a.b.c"}"#,
            r#"{"host": "*.b.c", "path": "/a"}"#,
            r#"{"host": "*.c", "path": "/a"}"#,
            r#"{"path": "/a", "methods": ["GET"], "headers": {"a": "1"}}"#,
            r#"{"path": "/a", "methods": ["GET"]}"#,
            r#"{"path": "/a", "headers": {"a": "1", "b": "1"}}"#,
            r#"{"path": "/a", "headers": {"a": "1"}, "query": {"a": "1"}}"#,
            r#"{"path": "/a", "headers": {"a": "1"}}"#,
            r#"{"path": "/a", "query": {"a": "1"}}"#,
            r#"{"path": "/a", "cookies": {"a": "1"}}"#,
            r#"{"path": "/a", "client": "10.0.0.0/16"}"#,
            r#"{"path": "/a", "client": ["10.0.0.0/8", "10.0.0.1"]}"#,
            r#"{"path": "/a", "client": "::/0"}"#,
            r#"{"path": "/a"}"#,
            r#"{"path": "/a/{id}"}"#,
            r#"{"path": "/{a}/b"}"#,
            r#"{"path": "/{a}/{b}", "methods": ["GET"]}"#,
            r#"{"path": "/{a}/{b}"}"#,
            r#"{"path": "/{a}/{b}/**"}"#,
            r#"{"path": "/a/**"}"#,
            r#"{"path": "/*/**"}"#,
            r#"{"path": "/**"}"#,
            r#"{"path": "~ /a"}"#,
            r#"{}"#,
        ];
        let ranks: Vec<_> = order.iter().map(|json| rank(json, 0)).collect();
        for (at, pair) in ranks.windows(2).enumerate() {
            assert!(pair[0] > pair[1], "{} {}", order[at], order[at + 1]);
        }
    }

    #[test]
    fn priority_only_breaks_ties() {
        assert!(rank(r#"{"path": "/a"}"#, -5) > rank(r#"{"path": "/**"}"#, 100));
        assert!(rank(r#"{"path": "/a"}"#, 1) > rank(r#"{"path": "/b"}"#, 0));
        assert!(rank(r#"{"path": "/a"}"#, 1).ties(&rank(r#"{"path": "/b"}"#, 0)));
    }
}
