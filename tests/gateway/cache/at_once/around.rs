//! Where what is around a request has a say in it, there is an exchange.

use std::net::TcpListener;

use super::super::super::harness::complete;
use super::*;

/// A gateway with a response that is fresh, and a configuration that was changed like this.
fn fresh(listener: &str, change: impl FnOnce(String) -> String) -> (Gateway, Origin) {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600");
    let folder = tempfile::tempdir().unwrap();
    let text = change(complete(folder.path(), &both_ways(&origin, "{}"), listener));
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, text).unwrap();
    let gateway = Gateway::start_file(folder, &file);
    ask_both(&gateway, &with(""));
    (gateway, origin)
}

#[test]
fn the_word_of_a_trusted_proxy_counts() {
    let (gateway, origin) = fresh("{ trusted_proxies: [127.0.0.1] }", |text| text);
    let (short, long) = ask_both(&gateway, &with(""));
    assert!(short.is_hit() && long.is_hit() && !short.was_at_once());
    let before = origin.count();
    ask_both(&gateway, &with("X-Forwarded-Proto: https\r\n"));
    assert_eq!(origin.count(), before + 2);
}

#[test]
fn a_log_that_asks_for_more_gets_it() {
    let (gateway, _origin) = fresh("{}", |text| {
        let fields = "fields: [route, cache, agent: 'request.headers[\"user-agent\"]']";
        text.replace("access.log\" }", &format!("access.log\", {fields} }}"))
    });
    let (short, long) = ask_both(&gateway, &with("User-Agent: me\r\n"));
    assert!(short.is_hit() && long.is_hit() && !short.was_at_once());
    let lines = gateway.access_log(4);
    for route in ["short", "long"] {
        let expected = serde_json::json!({ "route": route, "cache": "hit", "agent": "me" });
        assert!(lines.contains(&expected), "{lines:?}");
    }
}

#[test]
fn a_log_that_asks_for_more_or_less_than_before_is_heeded_at_once() {
    let (gateway, origin) = fresh("{}", |text| text);
    let file = gateway.file("wiregate.yaml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let fields = "fields: [route, kind: 'response.headers[\"cache-control\"]']";
    let asking = plain.replace("access.log\" }", &format!("asking.log\", {fields} }}"));
    assert_ne!(asking, plain);
    let changes = [
        (&asking, false, "/b"),
        (&plain, true, "/c"),
        (&asking, false, "/d"),
    ];
    for (text, at_once, new) in changes {
        std::fs::write(&file, text).unwrap();
        assert_eq!(gateway.admin("POST", "/reload").status, 200);
        let (short, _) = ask_both(&gateway, &with(""));
        assert!(short.is_hit() && short.was_at_once() == at_once);
        // One that comes into the store now.
        origin.says(new, "cache-control: max-age=600");
        ask_both(&gateway, &with("").replace("/a", new));
    }
    let lines = || std::fs::read_to_string(gateway.file("asking.log")).unwrap_or_default();
    until("all are logged", || lines().lines().count() >= 8);
    assert!(
        lines().lines().all(|line| line.contains("max-age=600")),
        "{}",
        lines()
    );
}

#[test]
fn what_is_traced_has_an_exchange() {
    let (gateway, _origin) = fresh("{}", |text| {
        format!("{text}traces: {{ endpoint: \"http://127.0.0.1:1\" }}\n")
    });
    let (short, _) = ask_both(&gateway, &with(""));
    assert!(short.is_hit() && !short.was_at_once());
}

#[test]
fn it_is_shed_as_any_request_is() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = format!(
        "held: {{ endpoints: [\"{}\"] }}",
        silent.local_addr().unwrap()
    );
    let (gateway, _origin) = fresh("{}", |text| {
        let text = text.replace("upstreams: { ", &format!("upstreams: {{ {held}, "));
        let route = "- { name: held, match: { host: h.example }, upstream: held }";
        format!("limits: {{ requests: 1 }}\n{text}{route}\n")
    });
    // The place of a request is free a moment after its response has come.
    let mut others = Vec::new();
    until("there is no room for another one", || {
        let mut other = connect(&gateway);
        let request = with("").replace("{s}", "h");
        other.write_all(request.as_bytes()).unwrap();
        others.push(other);
        gateway.metric("wiregate_requests_in_flight{route=\"held\"}") == 1.0
    });
    let shed = "wiregate_requests_shed_total{reason=\"requests\"}";
    let before = gateway.metric(shed);
    let plain = with("").replace("{s}", "s");
    let short = Got::ask(&mut connect(&gateway), &plain);
    assert_eq!(short.line, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(gateway.metric(shed), before + 1.0);
    drop(silent); // which resets what waits there
    until("there is room again", || {
        Got::ask(&mut connect(&gateway), &plain).was_at_once()
    });
}
