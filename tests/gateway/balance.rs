//! Which endpoint gets a request: the ways to choose, priorities, zones, and the sticky cookie.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use super::harness::{Gateway, complete, curl, echoes, until, wiregate};
use super::peers::{Client, set_health, state};

pub fn config(endpoints: &[String], options: &str) -> String {
    format!(
        "workers: 1\nupstreams: {{ app: {{ endpoints: [{}], {options} }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n",
        endpoints.join(", ")
    )
}

pub fn plain(addresses: &[SocketAddr]) -> Vec<String> {
    let quoted = addresses.iter().map(|address| format!("\"{address}\""));
    quoted.collect()
}

fn placed(address: SocketAddr, options: &str) -> String {
    format!("{{ address: \"{address}\", {options} }}")
}

fn counts(gateway: &Gateway, requests: usize, target: &str) -> HashMap<String, usize> {
    let mut client = Client::new(gateway);
    let mut counts = HashMap::new();
    for _ in 0..requests {
        *counts.entry(client.get(target, &[]).by()).or_default() += 1;
    }
    counts
}

#[test]
fn every_way_uses_all_endpoints_by_weight() {
    let origin = echoes(2);
    let [a, b] = [origin.addresses()[0], origin.addresses()[1]];
    let endpoints = [placed(a, "weight: 3"), placed(b, "weight: 1")];
    let gateway = Gateway::start(&config(&endpoints, "balance: round_robin"));
    for balance in [
        "round_robin",
        "least_requests",
        "random",
        "{ hash: { by: 'request.headers[\"x-none\"]' } }",
    ] {
        gateway.reload(&config(&endpoints, &format!("balance: {balance}")));
        let counts = counts(&gateway, 400, "/");
        let heavy = counts[&a.to_string()];
        assert!((250..350).contains(&heavy), "{balance}: {counts:?}");
    }
}

#[test]
fn least_requests_leaves_a_busy_endpoint_alone() {
    let origin = echoes(2);
    let [busy, free] = [origin.addresses()[0], origin.addresses()[1]];
    let endpoints = plain(origin.addresses());
    let gateway = Gateway::start(&config(&endpoints, "balance: least_requests"));
    let slow = format!("/?delay=30s&at={}", busy.port());
    let mut waiting = Vec::new();
    until("one request waits", || {
        let address = gateway.address();
        let request = format!("GET {slow} HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        waiting.push(stream);
        state(&gateway, busy)["in_flight"] == 1
    });
    let in_flight =
        format!("wiregate_endpoint_requests_in_flight{{endpoint=\"{busy}\",upstream=\"app\"}}");
    assert!(gateway.metric(&in_flight) >= 1.0);
    assert_eq!(
        counts(&gateway, 50, "/"),
        HashMap::from([(free.to_string(), 50)])
    );
}

#[test]
fn peak_ewma_prefers_the_endpoint_that_answers_sooner_and_remembers() {
    let origin = echoes(2);
    let slow = origin.addresses()[0];
    let text = config(&plain(origin.addresses()), "balance: peak_ewma");
    let gateway = Gateway::start(&text);
    let target = format!("/?delay=300ms&at={}", slow.port());
    let first = counts(&gateway, 30, &target);
    assert!((1..5).contains(&first[&slow.to_string()]), "{first:?}");
    assert!(state(&gateway, slow)["latency_seconds"].as_f64().unwrap() > 0.1);
    gateway.reload(&text.replace("name: all", "name: other"));
    let again = counts(&gateway, 10, &target);
    assert_eq!(again.get(&slow.to_string()), None, "{again:?}");
}

#[test]
fn a_key_stays_where_it_is_and_moves_only_when_its_endpoint_leaves() {
    let origin = echoes(4);
    let endpoints = plain(origin.addresses());
    let options = "balance: { hash: { by: 'request.headers[\"x-user\"]' } }";
    let gateway = Gateway::start(&config(&endpoints, options));
    let owners = || -> BTreeMap<usize, String> {
        let mut client = Client::new(&gateway);
        (0..60)
            .map(|user| (user, client.get("/", &[&format!("x-user: u{user}")]).by()))
            .collect()
    };
    let before = owners();
    assert_eq!(before, owners());
    assert_eq!(before.values().collect::<HashSet<_>>().len(), 4);

    gateway.reload(&config(&endpoints[1..], options));
    let gone = origin.addresses()[0].to_string();
    let after = owners();
    for (user, owner) in &before {
        assert_ne!(after[user], gone);
        assert!(*owner == gone || after[user] == *owner, "u{user} moved");
    }
    // Another process agrees.
    let other = Gateway::start(&config(&endpoints, options));
    let mut client = Client::new(&other);
    for (user, owner) in &before {
        let got = client.get("/", &[&format!("x-user: u{user}")]);
        assert_eq!(got.by(), *owner);
    }
}

#[test]
fn a_hot_key_overflows_only_with_a_bound() {
    let origin = echoes(3);
    for (bound, spreads) in [("", false), (", bounded_load: 125%", true)] {
        let options = format!("balance: {{ hash: {{ by: request.path{bound} }} }}");
        let gateway = Gateway::start(&config(&plain(origin.addresses()), &options));
        let served: HashSet<String> = std::thread::scope(|scope| {
            let each = (0..8).map(|_| {
                let mut client = Client::new(&gateway);
                scope.spawn(move || client.get("/hot?delay=2s", &[]).by())
            });
            let each: Vec<_> = each.collect();
            each.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(served.len() > 1, spreads, "{bound}: {served:?}");
    }
}

#[test]
fn a_key_without_a_value_is_an_error_and_not_an_endpoint() {
    let origin = echoes(2);
    let options = "balance: { hash: { by: '1 / int(request.headers[\"x-n\"])' } }";
    let gateway = Gateway::start(&config(&plain(origin.addresses()), options));
    let mut client = Client::new(&gateway);
    assert_eq!(client.get("/", &["x-n: 1"]).status, 200);
    let got = client.get("/", &["x-n: 0"]);
    assert_eq!(got.status, 500);
    assert_eq!(got.body["type"], "urn:wiregate:condition_failed");
}

pub const CHECKED: &str = "health: { http: /health, every: 50ms, timeout: 2s }";

#[test]
fn a_priority_takes_over_when_those_before_it_fail_and_gives_back() {
    let origin = echoes(3);
    let [a, b, spare] = [0, 1, 2].map(|n| origin.addresses()[n]);
    let endpoints = [
        placed(spare, "priority: 1"),
        placed(a, "weight: 1"),
        format!("\"{b}\""),
    ];
    let gateway = Gateway::start(&config(&endpoints, CHECKED));
    let served = || -> HashSet<String> { counts(&gateway, 40, "/").into_keys().collect() };
    let names =
        |all: &[SocketAddr]| -> HashSet<String> { all.iter().map(ToString::to_string).collect() };
    let available = |address, so: bool| {
        until("its health is known", || {
            state(&gateway, address)["available"] == so
        });
    };
    assert_eq!(served(), names(&[a, b]));

    set_health(a, 503);
    available(a, false);
    // Half of the group takes seven tenths, the rest goes on to the next one.
    let counted = counts(&gateway, 400, "/");
    assert!((220..340).contains(&counted[&b.to_string()]), "{counted:?}");
    assert_eq!(counted.len(), 2);

    set_health(b, 503);
    available(b, false);
    assert_eq!(served(), names(&[spare]));
    assert_eq!(state(&gateway, spare)["priority"], 1);

    set_health(a, 200);
    set_health(b, 200);
    available(a, true);
    available(b, true);
    assert_eq!(served(), names(&[a, b]));
}

#[test]
fn an_endpoint_of_a_later_priority_serves_a_retry() {
    let origin = echoes(1);
    let spare = origin.addresses()[0];
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let endpoints = [placed(nobody, "priority: 0"), placed(spare, "priority: 7")];
    let gateway = Gateway::start(&config(&endpoints, "balance: least_requests"));
    assert_eq!(
        counts(&gateway, 5, "/"),
        HashMap::from([(spare.to_string(), 5)])
    );
}

#[test]
fn the_gateways_own_zone_comes_first() {
    let origin = echoes(3);
    let [near, far, nowhere] = [0, 1, 2].map(|n| origin.addresses()[n]);
    let endpoints = [
        placed(far, "zone: b"),
        placed(near, "zone: a"),
        format!("\"{nowhere}\""),
    ];
    let text = config(&endpoints, CHECKED);
    let gateway = Gateway::start(&format!("zone: a\n{text}"));
    let served = || -> HashSet<String> { counts(&gateway, 30, "/").into_keys().collect() };
    assert_eq!(served(), HashSet::from([near.to_string()]));
    assert_eq!(state(&gateway, near)["near"], true);
    assert_eq!(state(&gateway, far)["zone"], "b");

    set_health(near, 503);
    until("it is out", || state(&gateway, near)["available"] == false);
    assert_eq!(
        served(),
        HashSet::from([far.to_string(), nowhere.to_string()])
    );

    set_health(near, 200);
    until("it is back", || state(&gateway, near)["available"] == true);
    assert_eq!(served(), HashSet::from([near.to_string()]));
    // Without a zone of its own the gateway prefers none.
    gateway.reload(&text);
    assert_eq!(served().len(), 3);
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (options, messages) in [
        ("balance: fastest", &["unknown", "fastest"][..]),
        (
            "balance: { hash: { by: clint.address } }",
            &["did you mean `client.address`?"],
        ),
        (
            "balance: { hash: { by: client.address, bounded_load: 100% } }",
            &["expected a whole percentage from `101%` to `1000%`, found `100%`"],
        ),
        (
            "sticky: { cookie: 'a b', secret: '${env:SHORT}', path: x }",
            &[
                "expected the name of a cookie, found `a b`",
                "expected a secret of at least 16 bytes",
                "expected a path such as `/`, found `x`",
            ],
        ),
        ("panic: 0%", &["leave `panic` out to turn it off"]),
        (
            "health: { every: 1s }",
            &["expected one of `http`, `tcp` and `grpc` in `health`, found none"],
        ),
        (
            "health: { http: /, tcp: true }",
            &["expected one of `http`, `tcp` and `grpc` in `health`, found several"],
        ),
        (
            "health: { tcp: false, expect: 200, body: {} }",
            &[
                "expected `true`: leave `tcp` out",
                "`expect` is possible with `http` only",
                "`body` is possible with `http` only",
                "expected `contains` or `matches` in `body`",
            ],
        ),
        (
            "health: { http: /, expect: 2xx }",
            &["or a range such as `200-299`, found `2xx`"],
        ),
        (
            "outliers: { eject_for: 10m }",
            &[
                "expected at least one of `consecutive_errors`, `error_rate` and `slow`",
                "expected `longest` to be at least `eject_for`, found `5m` and `10m`",
            ],
        ),
        (
            "outliers: { slow: { times: 1 } }",
            &["expected 2 to 100, found 1"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.yaml");
        let text = config(&["\"127.0.0.1:9\"".to_owned()], options);
        std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
        let output = wiregate(&["check", "--config"])
            .arg(&file)
            .env("SHORT", "short")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{options}");
        for message in messages {
            assert!(said.contains(message), "{options}: {said}");
        }
        assert!(said.contains("w.yaml:6:"), "{options}: {said}");
    }
}

#[test]
fn the_admin_api_tells_the_state_of_upstreams() {
    let origin = echoes(1);
    let address = origin.addresses()[0];
    let endpoints = [placed(address, "weight: 3, priority: 2, zone: a")];
    let gateway = Gateway::start(&config(&endpoints, "balance: peak_ewma"));
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    let told = state(&gateway, address);
    for (key, value) in [
        ("available", serde_json::json!(true)),
        ("health", "unchecked".into()),
        ("errors", 0.into()),
        ("ejected_for_seconds", serde_json::Value::Null),
        ("ejections", 0.into()),
        ("in_flight", 0.into()),
        ("weight", 3.into()),
        ("weight_percent", 100.into()),
        ("priority", 2.into()),
        ("zone", "a".into()),
        ("near", false.into()),
    ] {
        assert_eq!(told[key], value, "{key} in {told}");
    }
    assert!(told["latency_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(gateway.admin("POST", "/upstreams").status, 405);
}
