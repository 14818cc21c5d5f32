//! Endpoints by name: A, AAAA and SRV records, their TTL, and what happens when DNS fails.

use std::net::SocketAddr;
use std::time::Instant;

use wiregate::echo::Echo;

use super::dns_server::{DnsServer, Says};
use super::{get, problem, served_by, to};
use crate::harness::{Gateway, echo, echoes, until, wiregate};

/// Two origins on one port: `127.0.0.1` and `[::1]`.
fn on_both_families() -> (Echo, u16) {
    for _ in 0..20 {
        let first = echo();
        let port = first.addresses()[0].port();
        drop(first);
        let addresses = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
        let addresses = addresses.map(|a| a.parse::<SocketAddr>().unwrap());
        if let Ok(both) = Echo::start(&addresses) {
            return (both, port);
        }
    }
    panic!("there is no port that is free on both");
}

fn refreshes(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!(
        "wiregate_upstream_refreshes_total{{result=\"{result}\",source=\"dns\",upstream=\"app\"}}"
    ))
}

fn named(dns: &DnsServer, port: u16) -> String {
    dns.setting() + &to(&format!("{{ endpoints: [\"app.internal:{port}\"] }}"))
}

#[test]
fn a_name_stands_for_all_its_a_and_aaaa_records() {
    let dns = DnsServer::start();
    let (_origin, port) = on_both_families();
    dns.has("app.internal", 1, &["127.0.0.1", "::1"]);
    let gateway = Gateway::start(&format!("workers: 1\n{}", named(&dns, port)));
    let counts = served_by(&gateway, 10);
    assert_eq!(counts[&format!("127.0.0.1:{port}")], 5);
    assert_eq!(counts[&format!("[::1]:{port}")], 5);
    until("it is counted", || refreshes(&gateway, "ok") >= 1.0);
}

#[test]
fn a_name_is_asked_for_again_when_its_ttl_is_over_and_not_before() {
    let dns = DnsServer::start();
    let (_origin, port) = on_both_families();
    dns.has("app.internal", 1, &["127.0.0.1"]);
    dns.has("steady.internal", 300, &["127.0.0.1"]);
    let upstreams = format!(
        "{{ app: {{ endpoints: [\"app.internal:{port}\"] }}, \
         steady: {{ endpoints: [\"steady.internal:{port}\"] }} }}"
    );
    let routes = "[{ name: steady, match: { path: /steady }, upstream: steady }, \
                   { name: all, upstream: app }]";
    let (settings, started) = (dns.setting(), Instant::now());
    let gateway = Gateway::start(&format!(
        "{settings}upstreams: {upstreams}\nroutes: {routes}\n"
    ));
    assert!(served_by(&gateway, 2).contains_key(&format!("127.0.0.1:{port}")));
    let first =
        "wiregate_upstream_refreshes_total{result=\"ok\",source=\"dns\",upstream=\"steady\"}";
    assert_eq!(
        gateway.metric(first),
        1.0,
        "what was asked before the start counts"
    );
    // Addresses come and go with the name.
    dns.has("app.internal", 1, &["::1"]);
    until("the new address is used", || {
        served_by(&gateway, 1).contains_key(&format!("[::1]:{port}"))
    });
    until("nobody else is", || {
        served_by(&gateway, 4).keys().eq([&format!("[::1]:{port}")])
    });
    let gauge = "wiregate_endpoint_healthy{endpoint=\"[::1]:";
    assert!(gateway.admin("GET", "/metrics").text().contains(gauge));
    // Once a second at most: each time for A and for AAAA.
    let (asked, most) = (
        dns.asked("app.internal") as u64,
        started.elapsed().as_secs() + 2,
    );
    assert!(asked <= 2 * most, "{asked} in {most} s");
    assert_eq!(dns.asked("steady.internal"), 2);
}

#[test]
fn srv_records_give_ports_weights_and_priorities() {
    let dns = DnsServer::start();
    let origin = echoes(3);
    let ports: Vec<u16> = origin.addresses().iter().map(SocketAddr::port).collect();
    let records = vec![
        (1, 30, ports[0], "a.internal"),
        (1, 10, ports[1], "b.internal"),
        (2, 90, ports[2], "c.internal"),
    ];
    dns.says(
        "_http._tcp.app.internal",
        Says::Services(1, records.clone()),
    );
    for name in ["a.internal", "b.internal", "c.internal"] {
        dns.has(name, 60, &["127.0.0.1"]);
    }
    let upstream = to("{ endpoints: [{ srv: _http._tcp.app.internal }] }");
    let gateway = Gateway::start(&format!("workers: 1\n{}{upstream}", dns.setting()));
    let counts = served_by(&gateway, 8);
    let served = |port: u16| counts.get(&format!("127.0.0.1:{port}")).copied();
    let shares: Vec<_> = ports.iter().copied().map(served).collect();
    assert_eq!(shares, [Some(6), Some(2), None]);

    // The next priority takes over when the first one has gone.
    dns.says(
        "_http._tcp.app.internal",
        Says::Services(1, records[2..].to_vec()),
    );
    until("the other priority is used", || {
        served_by(&gateway, 3)
            .keys()
            .eq([&format!("127.0.0.1:{}", ports[2])])
    });
}

#[test]
fn the_last_good_answer_stays_whatever_dns_does() {
    let dns = DnsServer::start();
    let origin = echo();
    dns.has("app.internal", 1, &["127.0.0.1"]);
    let gateway = Gateway::start(&named(&dns, origin.addresses()[0].port()));
    served_by(&gateway, 1);
    let (descriptors, memory) = (gateway.descriptors(), gateway.status("VmRSS"));
    for (says, result) in [
        (Says::Nothing, "timeout"),
        (Says::NoSuchName, "empty"),
        (Says::NoRecords, "empty"),
        (Says::Failure, "error"),
    ] {
        let before = refreshes(&gateway, result);
        dns.says("app.internal", says.clone());
        until(result, || refreshes(&gateway, result) > before);
        served_by(&gateway, 2);
        let asked = Instant::now();
        assert_eq!(get(&gateway).status, 200);
        assert!(asked.elapsed().as_secs() < 5, "no request waits for DNS");
        assert!(
            gateway.log().contains("the last good answer stays"),
            "{says:?}"
        );
        // A good one ends the row of failures, so that the next one comes soon.
        dns.has("app.internal", 1, &["127.0.0.1"]);
        let before = refreshes(&gateway, "ok");
        until("it works again", || refreshes(&gateway, "ok") > before);
    }
    gateway.tells("the name is resolved again");
    // A question may be under way, and a connection to the endpoint in use.
    until("nothing is left behind", || {
        gateway.descriptors() <= descriptors + 4
    });
    let grown = gateway.status("VmRSS").saturating_sub(memory);
    assert!(grown < 8 * 1024, "{grown} kB are left behind");
}

#[test]
fn starts_without_an_answer_and_says_so_until_one_comes() {
    let dns = DnsServer::start();
    let origin = echo();
    dns.says("app.internal", Says::Nothing);
    let gateway = Gateway::start(&named(&dns, origin.addresses()[0].port()));
    assert_eq!(problem(&get(&gateway)), "503 dns_error");
    let endpoints = "wiregate_upstream_endpoints{upstream=\"app\"}";
    assert_eq!(gateway.metric(endpoints), 0.0);
    dns.has("app.internal", 60, &["127.0.0.1"]);
    until("the name is resolved", || get(&gateway).status == 200);
    assert_eq!(gateway.metric(endpoints), 1.0);
}

#[test]
fn a_reload_keeps_answers_and_waits_for_new_names() {
    let dns = DnsServer::start();
    let origin = echo();
    let port = origin.addresses()[0].port();
    dns.has("app.internal", 1, &["127.0.0.1"]);
    dns.has("other.internal", 60, &["127.0.0.1"]);
    let gateway = Gateway::start(&named(&dns, port));
    served_by(&gateway, 1);

    dns.says("app.internal", Says::Nothing);
    let again = named(&dns, port) + "limits: { drain_deadline: 9s }\n";
    gateway.reload(&again);
    assert_eq!(get(&gateway).status, 200, "the answer was kept");

    let other = to(&format!("{{ endpoints: [\"other.internal:{port}\"] }}"));
    gateway.reload(&(dns.setting() + &other));
    assert_eq!(
        get(&gateway).status,
        200,
        "the new name was resolved before"
    );

    dns.says("silent.internal", Says::Nothing);
    let silent = to(&format!("{{ endpoints: [\"silent.internal:{port}\"] }}"));
    gateway.reload(&(dns.setting() + &silent));
    assert_eq!(problem(&get(&gateway)), "503 dns_error", "but not for ever");
}

#[test]
fn a_health_check_follows_the_addresses_of_a_name() {
    let dns = DnsServer::start();
    let (_origin, port) = on_both_families();
    dns.says("app.internal", Says::Nothing);
    let upstream = format!(
        "{{ endpoints: [\"app.internal:{port}\"], health: {{ http: /health, every: 50ms }} }}"
    );
    let gateway = Gateway::start(&(dns.setting() + &to(&upstream)));
    assert_eq!(problem(&get(&gateway)), "503 dns_error");
    dns.has("app.internal", 1, &["::1"]);
    until("the name is resolved", || get(&gateway).status == 200);
    let stop = format!("http://[::1]:{port}/health?status=503");
    assert_eq!(crate::harness::curl(&["-X", "PUT", &stop]).status, 200);
    until("it is unhealthy", || {
        problem(&get(&gateway)) == "503 destination_unavailable"
    });
}

#[test]
fn the_hosts_file_goes_before_dns() {
    let dns = DnsServer::start();
    let (_origin, port) = on_both_families();
    let upstream = to(&format!("{{ endpoints: [\"localhost:{port}\"] }}"));
    let gateway = Gateway::start(&(dns.setting() + &upstream));
    served_by(&gateway, 4);
    assert_eq!(dns.asked("localhost"), 0);
}

#[test]
fn checking_a_configuration_asks_nobody() {
    let dns = DnsServer::start();
    dns.says("app.internal", Says::Nothing);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = crate::harness::complete(folder.path(), &named(&dns, 80), "{}");
    std::fs::write(&file, text).unwrap();
    let outcome = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(dns.asked("app.internal"), 0);
}

#[test]
fn addresses_without_a_route_are_left_out_unless_they_are_asked_for() {
    let (dns, (_origin, port)) = (DnsServer::start(), on_both_families());
    // A link-local address leads nowhere as long as nobody says which link.
    dns.has("app.internal", 1, &["127.0.0.1", "::1", "fe80::1"]);
    let with = |family: &str| {
        let family = format!("min_ttl: 100ms, family: {family}");
        let setting = dns.setting().replace("min_ttl: 100ms", &family);
        setting + &to(&format!("{{ endpoints: [\"app.internal:{port}\"] }}"))
    };
    let (v4, v6, nowhere) = (
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[fe80::1]:{port}"),
    );
    let gateway = Gateway::start(&with("auto"));
    for (family, expected) in [
        ("auto", &[&v4, &v6][..]),
        ("both", &[&v4, &v6, &nowhere]),
        ("ipv4", &[&v4]),
        ("ipv6", &[&v6, &nowhere]),
    ] {
        gateway.reload(&with(family));
        let expected: std::collections::BTreeSet<_> =
            expected.iter().map(|a| (*a).clone()).collect();
        until(&format!("{family}: these are used"), || {
            let all = gateway.admin("GET", "/upstreams").json();
            let endpoints = all["upstreams"]["app"]["endpoints"]
                .as_array()
                .unwrap()
                .clone();
            let used = endpoints
                .iter()
                .map(|one| one["address"].as_str().unwrap().to_owned());
            used.collect::<std::collections::BTreeSet<_>>() == expected
        });
    }
}
