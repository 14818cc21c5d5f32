//! Mistakes that people make, each with what is said of it.

mod guesses;
mod names;

use super::{LISTENER, filters, with};

/// A file, and the parts of the report on it: the message, its place, what helps.
type Mistake = (Vec<u8>, &'static [&'static str]);

pub(super) fn mistakes() -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = vec![
        (
            with("routes: [{ name: all, upstream: [app] }]"),
            &["expected text, found a list", "w.yaml:4:33"],
        ),
        (
            with("admin: { bind: \"0.0.0.0:9901\" }"),
            &[
                "expected a loopback address, found `0.0.0.0:9901`: the admin API asks nobody for a password",
                "w.yaml:4:16",
                "`metrics: { bind: … }` shows the metrics and the probes to other machines",
            ],
        ),
        (
            with(&format!("admin: {{ bind: \"unix:/{}\" }}", "x".repeat(120))),
            &["expected a path of at most", "w.yaml:4:16"],
        ),
        (
            with("metrics: { bind: \"9100\" }"),
            &[
                "expected an address and a port such as",
                "found `9100`",
                "w.yaml:4:18",
            ],
        ),
        (
            with("admin: { bind: \"127.0.0.1:9901\" }\nmetrics: { bind: \"127.0.0.1:9901\" }"),
            &[
                "`metrics` and the admin API have the same address",
                "w.yaml:5:18",
                "::: w.yaml:4:16",
            ],
        ),
        (
            with("limits: { drain_deadline: 5 }"),
            &["error: expected ", "found `5`", "w.yaml:4:27"],
        ),
        (
            with("limits: { head: 2MiB }"),
            &["expected 1KiB to 1MiB, found 2MiB", "w.yaml:4:17"],
        ),
        (
            with("limits: { buffered_body: 1GiB, body_memory: 1KiB }"),
            &[
                "a body of 1GiB (`buffered_body`) does not fit into the memory for all of them",
                "w.yaml:4:26",
                "::: w.yaml:4:45",
                "raise `body_memory`",
            ],
        ),
        (
            with("routes: [{ name: all, upstream: app, match: { methods: [GET, CONNECT] } }]"),
            &["no request comes here with `CONNECT`", "w.yaml:4:62"],
        ),
        (
            with("limits: { buffered_body: 257MiB }"),
            &["257MiB", "256MiB (`body_memory`)", "w.yaml:4:26"],
        ),
        (
            with("limits: { http2: { stream_window: 1KiB } }"),
            &["expected a size from 65535", "found 1KiB", "w.yaml:4:35"],
        ),
        (
            with("limits: { http2: { ping: 1/s } }"),
            &["unknown key `ping`", "w.yaml:4:20", "did you mean `pings`?"],
        ),
        (
            with("limits: { http2: { pings: 100 } }"),
            &["expected a rate such as `100/min`", "w.yaml:4:27"],
        ),
        (
            with("route: []"),
            &[
                "unknown key `route`",
                "w.yaml:4:1",
                "did you mean `routes`?",
            ],
        ),
        (
            filters("ip: { alow: 10.0.0.0/8 }"),
            &["unknown key `alow`", "w.yaml:4:54", "did you mean `allow`?"],
        ),
        (
            with("routes: [{ name: all, upstream: app, filtres: [] }]"),
            &[
                "unknown key `filtres`",
                "w.yaml:4:38",
                "did you mean `filters`?",
            ],
        ),
        (
            with("routes: [{ name: all, upstream: ap }]"),
            &[
                "unknown upstream `ap`",
                "w.yaml:4:33",
                "did you mean `app`?",
            ],
        ),
        (
            filters("ipp: { allow: 10.0.0.0/8 }"),
            &["unknown filter `ipp`", "w.yaml:4:48", "did you mean `ip`?"],
        ),
        (
            filters("nothing_like_it"),
            &[
                "unknown filter `nothing_like_it`",
                "help: the filters are: ",
            ],
        ),
        (
            with("routes: [{ name: a, upstream: app }, { name: a, upstream: app }]"),
            &["two routes are named `a`", "w.yaml:4:38", "::: w.yaml:4:10"],
        ),
        (
            with("routes: [{ name: a, upstream: app }, { name: b, upstream: app }]"),
            &["routes `", "equally specific", "`priority`"],
        ),
        (
            "version: 1\nlisteners:\n  one: { bind: \"127.0.0.1:8080\" }\n  \
             two: { bind: \"127.0.0.1:8080\" }\nroutes: [{ name: a, filters: [respond: 204] }]\n"
                .into(),
            &[
                "the listener `two` and the listener `one` have the same address",
                "w.yaml:4:16",
                "::: w.yaml:3:16",
            ],
        ),
        (
            "version: 1\nlisteners: { public: { bind: \"127.0.0.1:70000\" } }\n\
             routes: [{ name: a, filters: [respond: 204] }]\n"
                .into(),
            &[
                "expected an address and a port such as",
                "found `127.0.0.1:70000`",
                "w.yaml:2:30",
            ],
        ),
        (
            "version: 1\nlisteners:\n\tpublic: { bind: \"127.0.0.1:0\" }\n".into(),
            &[
                "found a tab in the indentation",
                "w.yaml:3:1",
                "YAML is indented with spaces only",
            ],
        ),
        (
            format!(
                "version: 1\na: &a [x]\nb: [{}*a]\n",
                "*a, ".repeat(2_700_000)
            )
            .into(),
            &["cannot read `w.yaml`: expected at most 10 MiB, found more"],
        ),
        (
            format!(
                "version: 1\na: &a [x]\nb: [{}*a]\n",
                "*a, ".repeat(2_600_000)
            )
            .into(),
            &[
                "expected at most 2,000,000 values in a file, found more",
                "w.yaml:3:",
                "each alias (`*name`) counts as all that it stands for",
            ],
        ),
        (
            format!("{LISTENER}include: w.yaml\n").into(),
            &["files include each other: w.yaml -> w.yaml", "w.yaml:3:10"],
        ),
        (
            filters("api_key: { keys: [{ name: a, key: \"${file:/no/such/secret}\" }] }"),
            &[
                "cannot read `${file:/no/such/secret}`: no such file",
                "w.yaml:4:82",
            ],
        ),
        (
            filters("api_key: { keys: [{ name: a, key: \"${env:NO_SUCH_VARIABLE}\" }] }"),
            &["the variable `NO_SUCH_VARIABLE` is not set", "w.yaml:4:82"],
        ),
        (
            filters("api_key: { keys: [{ name: a, key: hunter2-hunter2-hunter2 }] }"),
            &[
                "expected a reference to a secret, found a value that is written out",
                "w.yaml:4:82",
                "key: *********************** }",
                "help: write `${env:NAME}`, `${file:/path}` or `${cred:name}`",
            ],
        ),
        (
            filters("basic_auth: { users: [{ name: a, password: \"x${env:PATH}\" }] }"),
            &[
                "expected a reference to a secret, found a value that is written out",
                "password: ************** }",
            ],
        ),
        (Vec::new(), &["the configuration is empty", "--> w.yaml\n"]),
        (
            b"version: 1\nlisteners: \xAE\n".into(),
            &["expected UTF-8, found the byte 0xAE", "w.yaml:2:12"],
        ),
        (
            (0..=255).cycle().take(4096).collect(),
            &["expected UTF-8, found the byte 0x80", "w.yaml:2:118"],
        ),
        (
            filters("{ ip: { allow: 10.0.0.0/8 }, respond: 204 }"),
            &[
                "expected one filter, found `ip` and `respond`",
                "w.yaml:4:48",
                "give each filter a list item of its own",
            ],
        ),
        (
            with(
                "filters: { office: { ip: { allow: 10.0.0.0/8 } } }\n\
                 routes: [{ name: all, upstream: app, filters: [office: { deny: 10.1.0.0/16 }] }]",
            ),
            &[
                "`office` is a named filter and has its options",
                "w.yaml:5:56",
                "write only its name here",
            ],
        ),
        (
            with("filters: { ip: { ip: { allow: 10.0.0.0/8 } } }"),
            &[
                "`ip` is the name of a built-in filter",
                "choose another name",
            ],
        ),
        (
            filters("respond: 204, ip: { allow: 10.0.0.0/8 }"),
            &[
                "`ip` never runs: `respond` answers every request",
                "w.yaml:4:62",
            ],
        ),
        (
            with("routes: [{ name: all, filters: [ip: { allow: 10.0.0.0/8 }] }]"),
            &[
                "route `all` has no upstream",
                "w.yaml:4:10",
                "such as `respond`",
            ],
        ),
        (
            format!(
                "{LISTENER}upstreams: {{ app: {{ endpoints: [{{ address: \"127.0.0.1:1\", \
                 weight: 0 }}] }} }}\nroutes: [{{ name: all, upstream: app }}]\n"
            )
            .into(),
            &[
                "expected a whole number from 1 to ",
                "found `0`",
                "w.yaml:3:67",
            ],
        ),
        (
            format!(
                "{LISTENER}upstreams: {{ app: {{ endpoints: [] }} }}\n\
                 routes: [{{ name: all, upstream: app }}]\n"
            )
            .into(),
            &["upstream `app` has no endpoints", "w.yaml:3:19"],
        ),
        (
            "version: 2\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\n\
             routes: [{ name: a, filters: [respond: 204] }]\n"
                .into(),
            &["expected version 1, found 2", "w.yaml:1:10"],
        ),
        (
            "listeners: { public: { bind: \"127.0.0.1:0\" } }\n\
             routes: [{ name: a, filters: [respond: 204] }]\n"
                .into(),
            &["missing `version`", "w.yaml:1:1"],
        ),
        (
            with("admin: { bind: \"0.0.0.0:9901\" }\nroutes: [{ name: a, upstream: app }]"),
            &[
                "expected a loopback address",
                "asks nobody for a password",
                "w.yaml:4:16",
            ],
        ),
    ];
    mistakes.extend(names::parameters());
    mistakes.extend(names::consumers());
    mistakes.extend(names::shown());
    mistakes.extend(guesses::guesses());
    mistakes.extend(bare_keys());
    mistakes
}

/// Keys with nothing behind them, which would open what they were to close.
fn bare_keys() -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = vec![
        (
            filters("ip: { allow:, deny: 10.0.0.66 }"),
            &["expected a value of `allow`, found nothing", "w.yaml:4:54"],
        ),
        (
            with(
                "routes:\n- name: a\n  upstream: app\n  filters:\n  - ip:\n      allow:\n      \
                 # - 10.0.0.0/8\n      deny: 10.0.0.66",
            ),
            &["expected a value of `allow`, found nothing", "w.yaml:9:7"],
        ),
        (
            filters("rate_limit: { limit: 1/min, by: }"),
            &[
                "expected a value of `by`, found nothing",
                "remove the key, or write a value",
            ],
        ),
        (
            with("routes: [{ name: a, upstream: app, match: }]"),
            &[
                "expected a value of `match`, found nothing",
                "`{}` for an empty one",
            ],
        ),
        (
            with("routes: [{ name: a, upstream: app }]\nlimits:"),
            &["expected a value of `limits`, found nothing", "w.yaml:5:1"],
        ),
    ];
    for (key, told) in [
        ("host", "expected a value of `host`, found nothing"),
        ("path", "expected a value of `path`, found nothing"),
        ("methods", "expected a value of `methods`, found nothing"),
        ("headers", "expected a value of `headers`, found nothing"),
        ("query", "expected a value of `query`, found nothing"),
        ("cookies", "expected a value of `cookies`, found nothing"),
        ("client", "expected a value of `client`, found nothing"),
        ("when", "expected a value of `when`, found nothing"),
    ] {
        let text = with(&format!(
            "routes: [{{ name: a, upstream: app, match: {{ {key}: }} }}]"
        ));
        let told: &'static [&'static str] = Box::leak(Box::new([told, "w.yaml:4:45"]));
        mistakes.push((text, told));
    }
    mistakes
}
