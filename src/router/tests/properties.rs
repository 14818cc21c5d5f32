//! The table against a plain reading of the rules: try all entries, take the greatest.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::router::rivals::Rivals;

const HOSTS: [&str; 6] = ["", "a.b.c", "b.c", "x.a.b.c", "c", "d"];
const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/b/a",
    "/b",
    "/a/b/",
    "/x/y/z",
    "*",
    "/a/b/c/d/e",
    "/1",
];
const HOST_PATTERNS: [&str; 6] = ["*", "*.c", "*.b.c", "a.b.c", "b.c", "d"];
const PATH_PATTERNS: [&str; 20] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/**",
    "/a/**",
    "/a/b/**",
    "/{x}",
    "/{x}/{y}",
    "/a/{x}",
    "/{x}/b",
    "/{x}/",
    "/{x}/**",
    "/a/*/**",
    "/*/b/**",
    "~ /a.*",
    "~ /(?<n>[a-b])/.*",
    "~ .*",
    "/*/*/{z}",
    "/a/{y}/c",
];

/// Matches that differ in everything.
fn diverse() -> BoxedStrategy<Match> {
    matching(&HOST_PATTERNS, &PATH_PATTERNS, 0.5).boxed()
}

/// Matches that are much alike, so that many tie, and many cover each other.
fn alike() -> BoxedStrategy<Match> {
    matching(&["*.c"], &["/a/**", "~ /a/.*", "~ /a/b.*"], 0.2).boxed()
}

fn matching(
    hosts: &[&'static str],
    paths: &[&'static str],
    written: f64,
) -> impl Strategy<Value = Match> {
    let some = |patterns: Vec<&'static str>, written: f64| {
        let most = patterns.len().min(2);
        let list = prop::sample::subsequence(patterns, 1..=most);
        prop::option::weighted(written, list.prop_map(|list| serde_json::json!(list)))
    };
    let condition = prop::option::weighted(
        written,
        select(vec![
            serde_json::json!({"k": "1"}),
            serde_json::json!({"k": {"any_of": ["2", "12"]}}),
            serde_json::json!({"k": {"present": false}}),
            serde_json::json!({"k": {"regex": "[0-9]"}}),
            serde_json::json!({"k": {"prefix": "1"}, "l": {"present": true}}),
        ]),
    );
    let methods = some(vec!["GET", "PUT", "POST"], written);
    let client = some(vec!["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"], written);
    let hosts = some(hosts.to_vec(), 0.5);
    let paths = some(paths.to_vec(), 0.5);
    (
        hosts,
        paths,
        methods,
        client,
        condition.clone(),
        condition.clone(),
        condition,
    )
        .prop_map(|(host, path, methods, client, headers, query, cookies)| {
            let keys = [
                ("host", host),
                ("path", path),
                ("methods", methods),
                ("client", client),
                ("headers", headers),
                ("query", query),
                ("cookies", cookies),
            ];
            let written = keys
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)));
            serde_json::from_value(serde_json::Value::Object(written.collect())).unwrap()
        })
}

/// Matches of the same host and path, or of a regular expression below it, that a value or a
/// network may tell apart.
fn nested() -> BoxedStrategy<Match> {
    let condition = select(vec![
        serde_json::json!("a"),
        serde_json::json!("ab"),
        serde_json::json!("abc"),
        serde_json::json!({"any_of": ["b", "abc"]}),
        serde_json::json!({"prefix": "a"}),
        serde_json::json!({"prefix": "ab"}),
        serde_json::json!({"prefix": "b"}),
        serde_json::json!({"regex": "ab[0-9]"}),
        serde_json::json!({"regex": "[ab]+"}),
        serde_json::json!({"present": true}),
        serde_json::json!({"present": false}),
    ]);
    let net = select(vec![
        serde_json::json!("10.0.0.0/8"),
        serde_json::json!("10.1.0.0/16"),
        serde_json::json!(["10.1.2.0/24", "11.0.0.0/8"]),
        serde_json::json!("::/0"),
        serde_json::json!("2001:db8::/32"),
        serde_json::json!("0.0.0.0/0"),
    ]);
    let path = select(vec![
        "",
        "/**",
        "/a/**",
        "~ /a/[0-9]+",
        "~ /a/b.*",
        "~ /b.*",
    ]);
    let name = || select(vec!["k", "k", "l"]);
    let some = |strategy| prop::option::weighted(0.6, strategy);
    let header = some((name(), condition.clone()).boxed());
    let query = some((name(), condition).boxed());
    (path, header, query, prop::option::weighted(0.4, net))
        .prop_map(|(path, header, query, client)| {
            let mut written = serde_json::Map::new();
            if !path.is_empty() {
                written.insert("path".into(), path.into());
            }
            for (key, value) in [("headers", header), ("query", query)] {
                if let Some((name, condition)) = value {
                    written.insert(key.into(), serde_json::json!({ name: condition }));
                }
            }
            written.extend(client.map(|client| ("client".to_owned(), client)));
            serde_json::from_value(serde_json::Value::Object(written)).unwrap()
        })
        .boxed()
}

/// Problems as they are told, in their order.
fn told(problems: &[Problem]) -> Vec<String> {
    let related = |problem: &Problem| -> Vec<u32> {
        (problem.related.iter())
            .map(|(place, _)| place.line)
            .collect()
    };
    let line = |it: &Problem| format!("{}: {} {:?}", it.place.line, it.message, related(it));
    problems.iter().map(line).collect()
}

fn specs(matching: BoxedStrategy<Match>) -> impl Strategy<Value = Vec<RouteSpec>> {
    let route = (matching, -1..=1_i32);
    prop::collection::vec(route, 1..8).prop_map(|routes| {
        let named = routes
            .into_iter()
            .enumerate()
            .map(|(at, (matching, priority))| RouteSpec {
                written: None,
                name: format!("r{at}").into(),
                matching,
                preflights: false,
                priority,
                place: place(at + 1),
            });
        named.collect()
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let value = || prop::option::of(select(vec!["1", "2", "12", ""]));
    let address = select(vec!["10.0.0.1", "10.1.0.1", "192.0.2.9", "::1"]);
    let line = (
        select(vec!["GET", "PUT", "HEAD"]),
        select(&HOSTS[..]),
        select(&PATHS[..]),
    );
    (line, address, value(), value(), value(), any::<bool>()).prop_map(
        |((method, host, path), address, header, query, cookie, more)| {
            let query = query.map_or(String::new(), |value| format!("?k={value}&l=1"));
            let mut sent = Sent::new(&format!("{method} {path}{query}")).from(address);
            sent.host = host.to_owned();
            for (name, value) in [("k", header), ("l", more.then_some("x"))] {
                if let Some(value) = value {
                    sent = sent.header(name, value);
                }
            }
            match cookie {
                Some(value) => sent.header("cookie", &format!("z=0; k={value}")),
                None => sent,
            }
        },
    )
}

/// All entries that match, as rank, route and path pattern: the greatest first, equal ones as
/// they were written.
fn naive(routes: &[RouteSpec], sent: &Sent) -> Vec<(Specificity, usize, PathPattern)> {
    let mut all = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let hosts = route
            .matching
            .host
            .as_ref()
            .map_or(vec![HostPattern::Any], |it| it.to_vec());
        let paths = route
            .matching
            .path
            .as_ref()
            .map_or(vec![PathPattern::Any], |it| it.to_vec());
        for host in &hosts {
            for path in &paths {
                let fits = host.matches(&sent.host) && path.matches(&sent.path);
                if fits
                    && route
                        .matching
                        .unmet(&sent.head, &mut sent.asked(), Params::new, route.preflights)
                        .unwrap()
                        .is_none()
                {
                    let rank = Specificity::new(host, path, &route.matching, route.priority);
                    all.push((rank, at, path.clone()));
                }
            }
        }
    }
    all.sort_by(|a, b| b.0.cmp(&a.0));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn finds_what_trying_all_finds(routes in specs(diverse()), requests in prop::collection::vec(sent(), 6)) {
        let router = Router::build(routes.clone(), EncodedSlash::Refuse, &mut Vec::new());
        for sent in requests {
            let expected = naive(&routes, &sent).into_iter().next();
            let expected = expected.map(|(_, route, path)| (route, path.params(&sent.path)));
            let explained = sent.explain(&router);
            let found = sent.find(&router).unwrap();
            let told = found.clone().map(|hit| (hit.route, hit.params));
            prop_assert_eq!(&told, &expected, "{} {:?}", sent.host, sent.head);
            prop_assert_eq!(explained.winner.as_ref().map(|win| win.route), found.map(|hit| hit.route));
            // Every other route that matches is told, and none twice.
            let mut told: Vec<_> = explained.misses.iter().map(|miss| miss.route).collect();
            told.extend(explained.winner.map(|win| win.route));
            for (_, route, _) in naive(&routes, &sent) {
                prop_assert!(told.contains(&route));
            }
            let count = told.len();
            told.sort_unstable();
            told.dedup();
            prop_assert_eq!(told.len(), count);
        }
    }

    /// What is left out of the comparison would have found nothing.
    #[test]
    fn comparing_rivals_tells_what_comparing_all_tells(
        routes in prop_oneof![specs(nested()), specs(alike())],
    ) {
        let router = Router::build(routes, EncodedSlash::Refuse, &mut Vec::new());
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        overlap::check(&router, &mut found);
        overlap::check_among(&router, |_| Rivals::plain(), &mut expected);
        prop_assert_eq!(told(&found), told(&expected));
    }

    /// Where a configuration is accepted, the order always decides; and what is called
    /// unreachable is.
    #[test]
    fn refuses_every_tie_and_only_what_is_unreachable(
        routes in prop_oneof![specs(diverse()), specs(alike())],
        requests in prop::collection::vec(sent(), 12),
    ) {
        let problems = Router::compile(routes.clone(), EncodedSlash::Refuse).err().unwrap_or_default();
        for sent in requests {
            let matched = naive(&routes, &sent);
            if let [(first, a, _), (second, b, _), ..] = &matched[..] {
                let names = [format!("`r{a}`"), format!("`r{b}`")];
                let told = problems
                    .iter()
                    .any(|problem| names.iter().any(|name| problem.message.contains(name)));
                prop_assert!(first != second || a == b || told, "r{} r{}", a, b);
            }
            if let Some((_, winner, path)) = matched.first() {
                let never = format!("route `r{winner}` can never match");
                let entry = format!("`{path}` on host");
                let route = format!("of route `r{winner}` can never match");
                for problem in &problems {
                    prop_assert!(!problem.message.starts_with(&never), "{}", problem.message);
                    // A path that is unreachable on one host may well win on another.
                    let one_host = routes[*winner].matching.host.as_ref().is_none_or(|it| it.len() == 1);
                    let named = problem.message.starts_with(&entry) && problem.message.contains(&route);
                    prop_assert!(!(named && one_host), "{}", problem.message);
                }
            }
        }
    }
}
