//! What things may be called. Names are shown in logs, metrics and messages. Those of consumers are
//! looked at where these are built.

use wiregate_filters::auth::name_problem;
use wiregate_sdk::value::{Node, Place, Problem, Value};

use super::UNROUTED;

/// How long a name may be, in characters.
const LONGEST: usize = 100;

/// Finds names that could not be shown.
pub(super) fn check(source: &Value, problems: &mut Vec<Problem>) {
    for section in ["listeners", "upstreams", "filters", "caches"] {
        if let Some(Node::Map(entries)) = source.get(section).map(|section| &section.node) {
            problems.extend(
                entries
                    .iter()
                    .filter_map(|(key, _)| problem(&key.name, &key.place)),
            );
        }
    }
    let Some(Node::List(routes)) = source.get("routes").map(|routes| &routes.node) else {
        return;
    };
    for name in routes.iter().filter_map(|route| route.get("name")) {
        let Node::Scalar(scalar) = &name.node else {
            continue; // it has been told
        };
        if scalar.written.is_some() {
            let message = "a reference is not possible in the name of a route";
            let problem = Problem::new(name.place.clone(), message);
            problems.push(problem.help("names are shown in logs and metrics"));
        } else if scalar.text == UNROUTED {
            let message = "expected another name: `-` stands for requests without a route";
            problems.push(Problem::new(name.place.clone(), message));
        } else {
            problems.extend(problem(&scalar.text, &name.place));
        }
    }
}

fn problem(name: &str, place: &Place) -> Option<Problem> {
    let length = name.chars().count();
    let long = || format!("expected a name of at most {LONGEST} characters, found {length}");
    let message = name_problem(name).or_else(|| (length > LONGEST).then(long));
    Some(Problem::new(place.clone(), message?))
}
