//! What people guess who know it from elsewhere, each with the word that is right here.

use super::super::filters;
use super::Mistake;

pub fn guesses() -> Vec<Mistake> {
    vec![
        (
            b"version: 1\nlisteners: { a: { bind: \"127.0.0.1:0\" } }\n\
              upstreams:\n  a: { endpoints: [\"127.0.0.1:1\"], protocol: http2 }\n  \
              b: { endpoints: [\"127.0.0.1:1\"], protocol: HTTP/2 }\n  \
              c: { endpoints: [\"127.0.0.1:1\"], protocol: grpc }\n  \
              d: { endpoints: [\"127.0.0.1:1\"], protocol: http }\n"
                .to_vec(),
            &[
                "expected `h2` for HTTP/2 over TLS, or `h2c` for HTTP/2 without, found `http2`",
                "w.yaml:4:46",
                "or `h2c` for HTTP/2 without, found `HTTP/2`",
                "or `h2c` for HTTP/2 without, found `grpc`",
                "unknown value `http`, expected one of `http1`, `h2c`, `h2`, `negotiate`",
                "did you mean `http1`?",
            ],
        ),
        (
            filters("rate_limit: { limit: 1/s, store: \"redis://127.0.0.1\" }"),
            &[
                "unknown value `redis://127.0.0.1`, expected `redis`",
                "w.yaml:4:81",
                "write `{ redis: \"redis://127.0.0.1\" }`",
            ],
        ),
        (
            filters("jwt: { from: bearer, issuer: a }"),
            &[
                "expected `true` or `false`, found `bearer` alone",
                "w.yaml:4:61",
                "write `{ bearer: true }`",
            ],
        ),
        (
            filters("rate_limit: { limits: 100/min }"),
            &[
                "unknown key `limits`",
                "did you mean `limit`?",
                "1 problem in 1 file",
            ],
        ),
        (
            filters("rate_limit: { limit: 100/m }"),
            &[
                "expected a rate such as `100/min`",
                "found `100/m`",
                "w.yaml:4:69",
            ],
        ),
        (
            filters("rate_limit: { limit: { plans: {}, otherwise: 1/s, burst: 5 } }"),
            &[
                "unknown key `burst`",
                "`burst` stands beside `limit`, not below it",
            ],
        ),
    ]
}
