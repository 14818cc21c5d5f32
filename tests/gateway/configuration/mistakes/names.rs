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
            with(
                "routes: [{ name: all, upstream: { split: { app: 1 }, by: 'string(response.status)' } }]",
            ),
            &["`response.status` is not known here", "w.yaml:4:58"],
        ),
        (
            b"version: 1\nlisteners: { a: { bind: \"127.0.0.1:0\" } }\nupstreams: { app: \
              { endpoints: [\"127.0.0.1:1\"], balance: { hash: { by: response.headers.a } } } }\n\
              routes: [{ name: all, upstream: app }]\n"
                .to_vec(),
            &["`response.headers` is not known here", "w.yaml:3:72"],
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

/// Limits that go by consumers where nobody can be one.
pub fn consumers() -> Vec<Mistake> {
    const KEYS: &str = "api_key: { keys: [{ name: a, sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }] }";
    const TOKENS: &str = "jwt: { issuer: 'https://id.example.com', audience: a }";
    const LIMIT: &str = "rate_limit: { limit: 1/min, by: consumer }";
    const NONE: &str =
        "goes by the consumer, and no filter before it finds out which one is calling";
    let route = |filters: &str| {
        with(&format!(
            "routes: [{{ name: a, upstream: app, filters: [{filters}] }}]"
        ))
    };
    vec![
        (
            filters(LIMIT),
            &[
                "`rate_limit` goes by the consumer",
                "w.yaml:4:48",
                "put one before it that does: `api_key`, `basic_auth`, or `jwt` with `consumer`",
                "1 problem in 1 file",
            ],
        ),
        // Tokens without `consumer` make nobody one.
        (
            route(&format!("{TOKENS}, {LIMIT}")),
            &[NONE, "1 problem in 1 file"],
        ),
        // What comes behind it comes too late.
        (
            route(&format!("{LIMIT}, {KEYS}")),
            &[NONE, "1 problem in 1 file"],
        ),
        (
            with(&format!(
                "all_routes: {{ filters: [{LIMIT}] }}\n\
                 routes: [{{ name: a, upstream: app, filters: [{KEYS}] }}]"
            )),
            &[NONE, "w.yaml:4:25", "1 problem in 1 file"],
        ),
        (
            with(&format!(
                "filters: {{ each: {{ {LIMIT} }} }}\nroutes:\n  \
                 - {{ name: a, upstream: app, match: {{ path: /a }}, filters: [{KEYS}, each] }}\n  \
                 - {{ name: b, upstream: app, match: {{ path: /b }}, filters: [each] }}"
            )),
            &[
                "`each` goes by the consumer",
                "w.yaml:7:",
                "1 problem in 1 file",
            ],
        ),
        // Who could not be built is not held against those behind it.
        (
            route(&format!("api_keys: {{}}, {LIMIT}")),
            &["unknown filter `api_keys`", "1 problem in 1 file"],
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
