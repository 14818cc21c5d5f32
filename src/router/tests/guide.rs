//! What the guide says of routes is what they do.

use super::*;

const GUIDE: &str = include_str!("../../../docs/routing.md");

/// The lines of the guide from this one on, up to the next empty one that ends a list or a table.
fn lines_after(start: &str) -> Vec<&'static str> {
    let (_, rest) = GUIDE.split_once(start).expect(start);
    let mut lines = rest
        .lines()
        .skip_while(|line| !line.starts_with(['|', '1']));
    let lines = lines.by_ref().take_while(|line| !line.is_empty());
    lines.collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A route for a path pattern, or for every path.
fn route(name: &str, path: Option<&str>) -> String {
    let matching = path.map_or_else(
        || serde_json::json!({}),
        |path| serde_json::json!({ "path": path }),
    );
    format!("{name}: {matching}")
}

#[test]
fn paths_are_in_the_order_that_it_shows() {
    let listed: Vec<_> = lines_after("So with these paths")
        .into_iter()
        .map(|line| quoted(line)[0])
        .map(|path| (path != "path").then_some(path))
        .collect();
    assert_eq!((listed.len(), listed.last()), (8, Some(&None)));
    let mut decided = 0;
    for (at, first) in listed.iter().enumerate() {
        for second in &listed[at + 1..] {
            // The file's order does not help.
            let lines = [route("second", *second), route("first", *first)];
            match compile(&lines.each_ref().map(String::as_str)) {
                Ok(router) => {
                    takes(&router, "GET http://a/orders/mine", "first");
                    decided += 1;
                }
                Err(problems) => {
                    let message = &problems[0].message;
                    let told = message.starts_with("route `second` can never match: route `first`");
                    assert!(told, "{first:?} {second:?}: {message}");
                }
            }
        }
    }
    assert!(decided >= 22, "of 28 pairs {decided} were decided");
}

#[test]
fn patterns_match_what_it_says_and_nothing_that_it_denies() {
    let (mut matched, mut denied) = (0, 0);
    for row in lines_after("### Path patterns").iter().skip(2) {
        let cells: Vec<_> = row.split(" | ").collect();
        let Some(pattern) = quoted(cells[0]).first().copied() else {
            continue; // none
        };
        let route = route("it", Some(pattern));
        let router = router(&[&route]);
        let paths = |cell: &'static str| quoted(cell).into_iter().filter(|it| it.starts_with('/'));
        for path in paths(cells[1]) {
            takes(&router, &format!("GET http://a{path}"), "it");
            matched += 1;
        }
        for path in paths(cells[2]) {
            takes(&router, &format!("GET http://a{path}"), "-");
            denied += 1;
        }
    }
    assert!(matched >= 7 && denied >= 7, "{matched} {denied}");
}

#[test]
fn paths_become_what_it_says() {
    let mut tried = 0;
    for row in lines_after("## Normalised paths").iter().skip(2) {
        let cells: Vec<_> = row.split(" | ").collect();
        let (written, becomes) = (quoted(cells[0]), quoted(cells[1]));
        let written = match cells[0].contains("(empty)") {
            true => vec![""],
            false => written,
        };
        for (at, raw) in written.iter().enumerate() {
            let refused = normalise(raw, EncodedSlash::Refuse);
            let kept = normalise(raw, EncodedSlash::Keep);
            let expected = becomes.get(at).or(becomes.first()).copied();
            assert_eq!(refused.as_deref().ok(), expected, "{raw}");
            let by_policy = cells[1].contains("or kept");
            assert_eq!(kept.is_ok(), expected.is_some() || by_policy, "{raw}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}
