//! What a reload leaves as it is, and what it cannot change.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, complete, curl, echo, echoes, until, upstream};
use super::{answers, says};

#[test]
fn what_only_a_start_can_change_is_refused_by_name() {
    let gateway = Gateway::start(&answers("one"));
    let good = std::fs::read_to_string(gateway.file("wiregate.yaml")).unwrap();
    let socket = gateway.file("admin.sock").display().to_string();
    for (text, key, place) in [
        (good.clone() + "workers: 7\n", "workers", "7:10"),
        (good.replace(&socket, "/tmp/other.sock"), "admin", "3:8"),
        (
            good.clone() + "limits: { idle: 5s }\n",
            "limits.idle",
            "7:17",
        ),
        (
            good.clone() + "limits: { idle_upstream_connections: 5 }\n",
            "limits.idle_upstream_connections",
            "7:38",
        ),
    ] {
        std::fs::write(gateway.file("wiregate.yaml"), text).unwrap();
        let answer = gateway.admin("POST", "/reload");
        assert_eq!(answer.status, 422, "{key}: {}", answer.text());
        let body = answer.json();
        let text = body["text"].as_str().unwrap();
        for expected in [
            format!("error: `{key}` cannot change in a running gateway\n"),
            format!("wiregate.yaml:{place}\n"),
            "restart it, or undo this change\n".to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected:?} in {text}");
        }
        assert!(says(&gateway, "one"));
    }
    std::fs::write(gateway.file("wiregate.yaml"), good.replace("one", "two")).unwrap();
    assert_eq!(gateway.admin("POST", "/reload").status, 200);
    assert!(says(&gateway, "two"));
}

#[test]
fn whom_a_listener_trusts_changes_for_all_connections() {
    let origin = echo();
    let text = upstream(&origin) + "routes: [{ name: all, upstream: app }]\n";
    let gateway = Gateway::start(&text);
    // One that was open before, and a new one.
    let mut kept = crate::peers::Client::new(&gateway);
    let mut sees = || {
        let kept = kept.get("/", &["x-forwarded-for: 192.0.2.7"]).body;
        let answer = curl(&["-H", "x-forwarded-for: 192.0.2.7", &gateway.url("/")]).json();
        let [kept, new] = [kept, answer].map(|seen| seen["headers"]["x-forwarded-for"].clone());
        assert_eq!(kept, new);
        new
    };
    assert_eq!(sees(), "127.0.0.1");
    let trusting = complete(
        gateway.folder(),
        &text,
        "{ trusted_proxies: [127.0.0.0/8] }",
    );
    std::fs::write(gateway.file("wiregate.yaml"), trusting).unwrap();
    assert_eq!(gateway.admin("POST", "/reload").status, 200);
    assert_eq!(sees(), "192.0.2.7, 127.0.0.1");
    gateway.reload(&text);
    assert_eq!(sees(), "127.0.0.1", "nobody is believed any more");
}

#[test]
fn limiters_keep_their_state() {
    let limited = |body: &str| {
        format!(
            "routes: [{{ name: all, filters: [rate_limit: {{ limit: 3/h }}, respond: {body}] }}]\n"
        )
    };
    let gateway = Gateway::start(&limited("one"));
    let status = || curl(&[&gateway.url("/")]).status;
    assert_eq!((status(), status()), (200, 200));
    gateway.reload(&limited("two"));
    assert_eq!((status(), status()), (200, 429));
    for round in 0..3 {
        gateway.reload(&limited(&format!("round-{round}")));
        assert_eq!(status(), 429);
    }
    // Another limit is another limiter.
    gateway.reload(&limited("five").replace("3/h", "5/h"));
    assert_eq!(status(), 200);
}

#[test]
fn endpoints_keep_their_health_and_old_checks_stop() {
    let origin = echoes(2);
    let [sick, well] = [origin.addresses()[0], origin.addresses()[1]];
    let text = |n: usize| {
        format!(
            "upstreams: {{ app: {{ endpoints: [\"{sick}\", \"{well}\"], \
             health: {{ http: /, every: 100ms, unhealthy_after: 1 }} }} }}\n\
             routes: [{{ name: all, match: {{ path: /{n}/** }}, upstream: app }}]\n"
        )
    };
    let gateway = Gateway::start(&text(0).replace("http: /,", "http: /health,"));
    let gauge = format!("wiregate_endpoint_healthy{{endpoint=\"{sick}\",upstream=\"app\"}}");
    assert_eq!(gateway.metric(&gauge), 1.0);
    let put = |status: u16| {
        let url = format!("http://{sick}/health?status={status}");
        assert_eq!(curl(&["-X", "PUT", &url]).status, 200);
    };
    put(503);
    until("the endpoint is out", || gateway.metric(&gauge) == 0.0);
    // A check that comes too late to matter: what was known holds from the first request on.
    let slow = text(1)
        .replace("http: /,", "http: /health,")
        .replace("100ms", "1h");
    gateway.reload(&slow);
    assert_eq!(gateway.metric(&gauge), 0.0);
    for _ in 0..6 {
        let answer = curl(&[&gateway.url("/1/a")]).json();
        assert_eq!(answer["served_by"], well.to_string());
    }

    // Each version checks on its own; only the last one may still do so.
    for n in 2..22 {
        gateway.reload(&text(n));
    }
    let stats = format!("http://{well}/__stats");
    let checks = || curl(&[&stats]).json()["requests"].as_u64().unwrap();
    let (start, before) = (Instant::now(), checks());
    until("there were more checks", || checks() >= before + 10);
    assert!(
        start.elapsed() > Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn limiters_keep_their_state_when_other_filters_come_above_them() {
    let own = |above: &str| {
        format!(
            "routes: [{{ name: all, filters: [{above}rate_limit: {{ limit: 2/h }}, respond: hi] }}]\n"
        )
    };
    let global = |above: &str| {
        format!(
            "all_routes: {{ filters: [{above}rate_limit: {{ limit: 2/h }}] }}\n\
             routes: [{{ name: all, filters: [respond: hi] }}]\n"
        )
    };
    let lists: [&dyn Fn(&str) -> String; 2] = [&own, &global];
    for list in lists {
        let gateway = Gateway::start(&list(""));
        let status = || curl(&[&gateway.url("/")]).status;
        assert_eq!((status(), status(), status()), (200, 200, 429));
        for above in [
            "request_id, ",
            "request_id, ip: { deny: 192.0.2.1 }, ",
            "ip: { deny: 192.0.2.1 }, ",
            "",
        ] {
            gateway.reload(&list(above));
            assert_eq!(status(), 429, "{}", list(above));
        }
        // One of its own kind above it takes its place: it has the state, the second a new one.
        gateway.reload(&list("rate_limit: { limit: 2/h }, "));
        assert_eq!(status(), 429);
    }
}

#[test]
fn a_former_configuration_is_counted_as_long_as_a_request_holds_it() {
    let origin = echo();
    let text = |n: usize| {
        let route = "routes: [{ name: all, upstream: app }]";
        format!("{}{route} # {n}\n", upstream(&origin))
    };
    let gateway = Gateway::start(&text(0));
    let held = || gateway.metric("wiregate_config_retired");
    let mut streams = Vec::new();
    for n in 1..=11 {
        let ask = "GET /?stream=100000&every=50ms HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(ask.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 12]).unwrap(), 12, "it has begun");
        streams.push(stream);
        gateway.reload(&text(n));
    }
    assert_eq!(held(), 11.0);
    let told = "requests that go on for long hold former configurations in memory";
    until("the log tells of many", || gateway.log().contains(told));
    // The stream of one configuration ends, and this one goes; the others stay.
    streams.swap_remove(4);
    until("one is taken apart", || held() == 10.0);
    streams.clear();
    until("all are taken apart", || held() == 0.0);
}
