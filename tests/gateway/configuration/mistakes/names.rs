//! Names that are not known, or could not be shown.

use super::super::{filters, with};
use super::Mistake;

/// Facts that are not known where they are asked for.
pub fn parameters() -> Vec<Mistake> {
    vec![
        (
            with("routes: [{ name: all, upstream: app, match: { when: 'route == \"\"' } }]"),
            &[
                "`route` is not known before a route has been chosen",
                "`request`, `client` and `params`",
                "w.yaml:4:53",
            ],
        ),
        (
            with("routes: [{ name: all, upstream: app, match: { when: 'consumer != \"a\"' } }]"),
            &["`consumer` is not known before a route", "w.yaml:4:53"],
        ),
        (
            with("routes: [{ name: all, upstream: app, match: { when: \"true\" } }]"),
            &["found one that is the same for all", "w.yaml:4:53"],
        ),
        (
            with(
                "routes: [{ name: a, upstream: app, match: \
                 { path: '/{id}', when: 'params.idd == \"1\"' } }]",
            ),
            &[
                "no path of this route has the parameter `idd`",
                "w.yaml:4:66",
                "did you mean `id`?",
            ],
        ),
        (
            filters("rate_limit: { limit: 1/min, by: params.nope }"),
            &[
                "`rate_limit` asks for the parameter `nope`, which no path of this route has",
                "w.yaml:4:48",
                "a path has parameters where it is written `/a/{name}`",
            ],
        ),
        (
            filters(
                "api_key: { from: { header: API_key }, keys: [{ name: a, sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }] }",
            ),
            &[
                "`api_key` asks for the request field `api_key`, which never comes",
                "w.yaml:4:48",
                "let clients send `api-key`, or write `underscores_in_fields: keep`",
                "1 problem in 1 file",
            ],
        ),
        (
            filters("rate_limit: { limit: 1/min, by: 'request.headers[\"x_tenant\"]' }"),
            &["`rate_limit` asks for the request field `x_tenant`"],
        ),
        (
            filters("cache: { ttl: 1m, vary: [accept, x_tenant] }"),
            &["`cache` asks for the request field `x_tenant`"],
        ),
        (
            filters("request_id: { header: x_id, trust: always }"),
            &["`request_id` asks for the request field `x_id`"],
        ),
        (
            with(
                "all_routes: { filters: [headers: { request: { rename: { x_a: x-b } } }] }\n\
                 routes: [{ name: a, upstream: app }]",
            ),
            &["`headers` asks for the request field `x_a`", "w.yaml:4:25"],
        ),
        (
            with(
                "filters: { by_tenant: { rate_limit: { limit: 1/min, by: params.tenant } } }\n\
                 routes:\n  - { name: a, upstream: app, match: { path: '/a/{tenant}' }, \
                 filters: [by_tenant] }\n  - { name: b, upstream: app, match: \
                 { path: '/b/{tenent}' }, filters: [by_tenant] }",
            ),
            &[
                "`by_tenant` asks for the parameter `tenant`",
                "w.yaml:7:73",
                "did you mean `tenent`?",
                "1 problem in 1 file",
            ],
        ),
        (
            with(
                "routes: [{ name: a, match: { path: '/{id}' }, \
                 filters: [respond: 'hello ${params.idd}'] }]",
            ),
            &[
                "`respond` asks for the parameter `idd`",
                "did you mean `id`?",
            ],
        ),
    ]
}

/// Names that could not be shown in logs and metrics.
pub fn shown() -> Vec<Mistake> {
    let route = |name: &str| with(&format!("routes: [{{ name: {name}, upstream: app }}]"));
    vec![
        (
            route("\"\""),
            &["expected a name, found nothing", "w.yaml:4:18"],
        ),
        (
            route("\"a\\nb\""),
            &[
                "expected a name without control characters, found `a\\nb`",
                "w.yaml:4:18",
            ],
        ),
        (
            route("\"-\""),
            &["`-` stands for requests without a route", "w.yaml:4:18"],
        ),
        (
            route(&"n".repeat(101)),
            &["expected a name of at most 100 characters, found 101"],
        ),
        (
            with(
                "filters: { \"\": { ip: { allow: 10.0.0.0/8 } } }\nroutes: [{ name: a, upstream: app }]",
            ),
            &["expected a name, found nothing", "w.yaml:4:12"],
        ),
    ]
}
