//! Endpoints that die, are ill, or stand out: who notices, and what becomes of their requests.

mod outliers;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::harness::{Gateway, echoes, until};
use super::peers::{Client, Process, set_health, state};

fn config(addresses: &[SocketAddr], options: &str) -> String {
    let endpoints: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!(
        "upstreams: {{ app: {{ endpoints: [{}], {options} }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n",
        endpoints.join(", ")
    )
}

fn served(gateway: &Gateway, requests: usize) -> HashSet<String> {
    let mut client = Client::new(gateway);
    (0..requests).map(|_| client.get("/", &[]).by()).collect()
}

fn becomes(gateway: &Gateway, address: SocketAddr, available: bool) {
    until("its health is known", || {
        state(gateway, address)["available"] == available
    });
}

#[test]
fn no_client_sees_that_one_of_three_endpoints_is_killed_under_load() {
    let mut origins: Vec<_> = (0..3).map(|_| Process::start("127.0.0.1:0")).collect();
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let options = "retry: { attempts: 3, on: [connect_error, reset], budget: 100% }, outliers: { consecutive_errors: 3 }, \
                   keep_idle: 1s, health: { http: /health, every: 200ms, timeout: 1s }";
    let gateway = Gateway::start(&config(&addresses, options));
    let descriptors = gateway.descriptors();
    let load = |requests: &str| {
        let arguments = ["-n", requests, "-c", "8", "--rps", "100", "--h1"];
        let mut command = Command::new("h2load");
        command
            .args(arguments)
            .arg(gateway.url("/"))
            .output()
            .unwrap()
    };
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load("4000"));
        let requests = "wiregate_upstream_requests_total{code=\"200\",upstream=\"app\"}";
        until("there is load", || gateway.metric(requests) > 500.0);
        origins[1].kill();
        let output = loading.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let log = std::fs::read_to_string(gateway.file("access.log")).unwrap();
        let failed = log.lines().filter(|line| !line.contains("\"status\":200"));
        failed.for_each(|line| eprintln!("{line}"));
        assert!(
            said.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout")
                && said.contains("status codes: 4000 2xx, "),
            "{said}"
        );
    });
    becomes(&gateway, addresses[1], false);
    let ejections =
        "wiregate_endpoint_ejections_total{reason=\"consecutive_errors\",upstream=\"app\"}";
    // Others go before it from its first refusal on: its checks may be faster than three errors.
    assert!(gateway.metric(ejections) <= 1.0);
    let left: HashSet<_> = [0, 2].map(|n: usize| addresses[n].to_string()).into();
    assert_eq!(served(&gateway, 12), left);

    // It comes back where it was.
    let _again = Process::start(&addresses[1].to_string());
    becomes(&gateway, addresses[1], true);
    assert_eq!(served(&gateway, 12).len(), 3);
    super::faults::idle(&gateway);
    // A check may be under way to each of them.
    until("nothing is left behind", || {
        gateway.descriptors() <= descriptors + 3
    });
}

#[test]
fn all_endpoints_down_is_a_503_until_one_is_back() {
    let origin = echoes(2);
    let options = "health: { http: /health, every: 50ms, every_unhealthy: 20ms, timeout: 2s }";
    let gateway = Gateway::start(&config(origin.addresses(), options));
    let mut client = Client::new(&gateway);
    for &address in origin.addresses() {
        set_health(address, 500);
        becomes(&gateway, address, false);
    }
    let got = client.get("/", &[]);
    assert_eq!(got.status, 503);
    assert_eq!(got.body["type"], "urn:wiregate:destination_unavailable");
    set_health(origin.addresses()[1], 200);
    becomes(&gateway, origin.addresses()[1], true);
    assert_eq!(client.get("/", &[]).by(), origin.addresses()[1].to_string());
}

#[test]
fn below_the_panic_threshold_health_is_not_looked_at() {
    let origin = echoes(3);
    let options = "panic: 50%, health: { http: /health, every: 50ms, timeout: 2s }";
    let gateway = Gateway::start(&config(origin.addresses(), options));
    let panics = || gateway.admin("GET", "/upstreams").json()["upstreams"]["app"]["panics"].clone();
    set_health(origin.addresses()[0], 503);
    becomes(&gateway, origin.addresses()[0], false);
    assert_eq!((served(&gateway, 12).len(), panics()), (2, false.into()));
    set_health(origin.addresses()[1], 503);
    becomes(&gateway, origin.addresses()[1], false);
    assert_eq!((served(&gateway, 12).len(), panics()), (3, true.into()));
    set_health(origin.addresses()[2], 503);
    becomes(&gateway, origin.addresses()[2], false);
    assert_eq!(served(&gateway, 12).len(), 3, "all are better than none");
}

#[test]
fn an_endpoint_that_must_prove_itself_gets_nothing_before() {
    let origin = echoes(1);
    let address = origin.addresses()[0];
    set_health(address, 503);
    let options =
        "health: { http: /health, start: unhealthy, every: 50ms, timeout: 2s, healthy_after: 3 }";
    let gateway = Gateway::start(&config(&[address], options));
    let mut client = Client::new(&gateway);
    assert_eq!(client.get("/", &[]).status, 503);
    set_health(address, 200);
    becomes(&gateway, address, true);
    assert_eq!(client.get("/", &[]).status, 200);
    // What was proven stays so over a reload.
    let slow = config(&[address], &options.replace("50ms", "1h"));
    gateway.reload(&slow);
    assert_eq!(client.get("/", &[]).status, 200);
    // And one that is proven by its first check need not wait for the next.
    let fresh = Gateway::start(&slow);
    becomes(&fresh, address, true);
}

#[test]
fn a_check_can_expect_statuses_and_a_body() {
    let origin = echoes(1);
    let address = origin.addresses()[0];
    let with = |options: &str| {
        let health = format!("health: {{ {options}, start: unhealthy, every: 1h }}");
        Gateway::start(&config(&[address], &health))
    };
    for (options, healthy) in [
        ("http: /status/404", false),
        ("http: /status/404, expect: [200, 400-404]", true),
        ("http: /status/405, expect: [200, 400-404]", false),
        ("http: /health, body: { contains: ok }", true),
        ("http: /health, body: { contains: no }", false),
        ("http: /, body: { matches: '\"method\":\\s*\"GET\"' }", true),
        ("http: /bytes/1000000", true),
        ("http: /bytes/1000000, body: { contains: ok }", false),
        ("http: '/health?delay=0ms', timeout: 10s", true),
        ("http: /delay/5s, timeout: 200ms", false),
    ] {
        let gateway = with(options);
        if healthy {
            becomes(&gateway, address, true);
        } else {
            // It was out from the start: what counts is that it stays so after its check.
            until("it was checked", || {
                state(&gateway, address)["checked"] == true
            });
            assert_eq!(state(&gateway, address)["available"], false, "{options}");
        }
    }
}

#[test]
fn a_tcp_check_asks_for_a_connection_only() {
    let mut origin = Process::start("127.0.0.1:0");
    let address = origin.address;
    let options = "health: { tcp: true, every: 50ms, timeout: 2s }";
    let gateway = Gateway::start(&config(&[address], options));
    until("it was checked", || {
        state(&gateway, address)["checked"] == true
    });
    assert_eq!(state(&gateway, address)["available"], true);
    origin.kill();
    becomes(&gateway, address, false);
    let _again = Process::start(&address.to_string());
    becomes(&gateway, address, true);
}

/// A server of `grpc.health.v1` whose answers can be changed.
fn grpc_server() -> (SocketAddr, HealthReporter, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (reporter, service) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    (address, reporter, runtime)
}

#[test]
fn a_grpc_check_asks_whether_a_service_serves() {
    let (address, reporter, runtime) = grpc_server();
    let set =
        |service: &str, status| runtime.block_on(reporter.set_service_status(service, status));
    set("orders.v1.Orders", ServingStatus::Serving);
    let options = |service: &str| {
        format!(
            "protocol: h2c, health: {{ grpc: '{service}', start: unhealthy, every: 50ms, timeout: 2s }}"
        )
    };
    let gateway = Gateway::start(&config(&[address], &options("orders.v1.Orders")));
    becomes(&gateway, address, true);
    set("orders.v1.Orders", ServingStatus::NotServing);
    becomes(&gateway, address, false);
    set("orders.v1.Orders", ServingStatus::Serving);
    becomes(&gateway, address, true);

    // The server as a whole, over HTTP/2 although requests go over HTTP/1.1.
    let whole = options("").replace("protocol: h2c, ", "");
    let whole = Gateway::start(&config(&[address], &whole));
    becomes(&whole, address, true);

    // A service that nobody knows is a failed call.
    let unknown = Gateway::start(&config(&[address], &options("nobody")));
    until("it was checked", || {
        state(&unknown, address)["checked"] == true
    });
    assert_eq!(state(&unknown, address)["available"], false);
}

#[test]
fn an_endpoint_that_is_back_gains_its_weight_slowly() {
    let origin = echoes(2);
    let back = origin.addresses()[1];
    let options = "slow_start: 5s, health: { http: /health, every: 50ms, timeout: 2s }";
    let gateway = Gateway::start(&config(origin.addresses(), options));
    let percent = |address| state(&gateway, address)["weight_percent"].as_u64().unwrap();
    set_health(back, 503);
    becomes(&gateway, back, false);
    until("the other has all of its weight", || {
        percent(origin.addresses()[0]) == 100
    });
    set_health(back, 200);
    let mut seen = Vec::new();
    until("it has all of its weight again", || {
        let told = state(&gateway, back);
        if told["available"] == true {
            seen.push(told["weight_percent"].as_u64().unwrap());
        }
        seen.last() == Some(&100)
    });
    assert!(seen[0] < 60, "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(served(&gateway, 12).len(), 2);
}

#[test]
fn a_check_goes_on_when_reloads_come_faster_than_it_decides() {
    let origin = echoes(2);
    let sick = origin.addresses()[1];
    let text = |n: usize| {
        let options = "health: { http: /health, every: 1s, timeout: 2s, unhealthy_after: 3 }";
        config(origin.addresses(), options).replace("name: all", &format!("name: all{n}"))
    };
    let gateway = Gateway::start(&text(0));
    let mut n = 0;
    // Three checks take two seconds. Where a busy machine has let one configuration live for nearly so
    // long, that one may have decided by itself, which says nothing: so once more.
    let none_lived_long = (0..5).any(|_| {
        set_health(sick, 200);
        becomes(&gateway, sick, true);
        set_health(sick, 503);
        let (mut since, mut longest) = (Instant::now(), Duration::ZERO);
        until("it is out", || {
            n += 1;
            gateway.reload(&text(n));
            longest = longest.max(since.elapsed());
            since = Instant::now();
            state(&gateway, sick)["available"] == false
        });
        longest < Duration::from_millis(1500)
    });
    assert!(
        none_lived_long,
        "{n} reloads were too slow to mean anything"
    );
}

#[test]
fn a_check_that_gets_no_answer_fails_although_reloads_are_more_frequent_than_its_time() {
    let (origin, silent) = (
        echoes(1),
        super::origin::serve(|_, mut stream| {
            super::origin::drain(&mut stream);
        }),
    );
    let text = |n: usize| {
        let options = "health: { http: /health, every: 100ms, timeout: 3s, unhealthy_after: 1 }";
        let addresses = [origin.addresses()[0], silent];
        config(&addresses, options).replace("name: all", &format!("name: all{n}"))
    };
    let gateway = Gateway::start(&text(0));
    let mut n = 0;
    until("it is out", || {
        n += 1;
        gateway.reload(&text(n));
        state(&gateway, silent)["available"] == false
    });
}
