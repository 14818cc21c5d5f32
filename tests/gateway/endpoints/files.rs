//! Endpoints from a file that is watched.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::dns_server::DnsServer;
use super::{get, served_by, to};
use crate::harness::{Gateway, complete, echoes, until, wiregate};

const FROM_FILE: &str = "{ endpoints: [{ file: endpoints.yaml }] }";

fn list(endpoints: &[SocketAddr]) -> String {
    endpoints.iter().map(|one| format!("- {one}\n")).collect()
}

/// Another file in the place of the one that there is.
fn replace(folder: &Path, text: &str) {
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("endpoints.yaml")).unwrap();
}

fn start(text: &str, configuration: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    replace(folder.path(), text);
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), configuration, "{}")).unwrap();
    Gateway::start_file(folder, &file)
}

fn check(folder: &Path, endpoints: &str) -> (Option<i32>, String) {
    let file = folder.join("wiregate.yaml");
    std::fs::write(&file, complete(folder, &to(endpoints), "{}")).unwrap();
    let outcome = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    (
        outcome.status.code(),
        String::from_utf8(outcome.stderr).unwrap(),
    )
}

#[test]
fn endpoints_come_and_go_with_the_file() {
    let origin = echoes(3);
    let all = origin.addresses();
    let gateway = start(&list(&all[..1]), &to(FROM_FILE));
    assert!(served_by(&gateway, 2).keys().eq([&all[0].to_string()]));
    replace(gateway.folder(), &list(all));
    until("all are used", || served_by(&gateway, 6).len() == 3);
    // Written in place, as some programs do.
    let weighted = format!("- {{ address: \"{}\", weight: 2 }}\n- {}\n", all[1], all[2]);
    std::fs::write(gateway.file("endpoints.yaml"), weighted).unwrap();
    until("the first one is gone", || {
        let counts = served_by(&gateway, 6);
        counts.len() == 2 && !counts.contains_key(&all[0].to_string())
    });
    let generation = gateway.metric("wiregate_config_generation");
    assert_eq!(generation, 1.0, "the configuration is not touched");
    let updates =
        "wiregate_upstream_refreshes_total{result=\"ok\",source=\"file\",upstream=\"app\"}";
    assert_eq!(gateway.metric(updates), 2.0);
}

#[test]
fn a_file_that_becomes_bad_changes_nothing_and_is_told() {
    let origin = echoes(1);
    let gateway = start(&list(origin.addresses()), &to(FROM_FILE));
    let errors =
        "wiregate_upstream_refreshes_total{result=\"error\",source=\"file\",upstream=\"app\"}";
    let bad = [
        ("- 127.0.0.1\n", "endpoints.yaml:1: expected"),
        ("", "endpoints.yaml"),
        (
            "- 127.0.0.1:80\n- 127.0.0.1:80\n",
            "endpoints.yaml:2: endpoint `127.0.0.1:80` is there twice",
        ),
    ];
    for (count, (text, hint)) in (1..).zip(bad) {
        replace(gateway.folder(), text);
        until("it is refused", || {
            gateway.metric(errors) >= f64::from(count)
        });
        gateway.tells(hint);
        served_by(&gateway, 2);
    }
    std::fs::remove_file(gateway.file("endpoints.yaml")).unwrap();
    until("its absence is noticed", || gateway.metric(errors) >= 4.0);
    served_by(&gateway, 2);
}

#[test]
fn requests_in_flight_go_on_when_their_endpoint_goes() {
    let origin = echoes(2);
    let all = origin.addresses();
    let gateway = start(&list(&all[..1]), &to(FROM_FILE));
    // A long answer, of which the first piece has come.
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let head = b"GET /?stream=100&every=50ms HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");

    replace(gateway.folder(), &list(&all[1..]));
    until("the other one is used", || {
        served_by(&gateway, 2).keys().eq([&all[1].to_string()])
    });
    let gauge = "wiregate_upstream_requests_in_flight{upstream=\"app\"}";
    assert_eq!(gateway.metric(gauge), 1.0, "the long one goes on");
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "it came to its end");
}

#[test]
fn a_start_and_a_check_want_a_good_file_and_say_where_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let from_file = |text: &str| {
        replace(folder.path(), text);
        check(folder.path(), FROM_FILE)
    };
    assert_eq!(
        from_file("- 127.0.0.1:80\n- { address: \"app.internal:80\", weight: 5 }\n").0,
        Some(0)
    );
    for (text, hint) in [
        ("- 127.0.0.1:80\n- app.internal\n", "endpoints.yaml:2:3"),
        (
            "- { address: \"127.0.0.1:80\", wieght: 2 }\n",
            "did you mean `weight`?",
        ),
        ("[]\n", "expected a list of 1 to 500 endpoints, found 0"),
    ] {
        let (code, said) = from_file(text);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    for (endpoints, hint) in [
        ("[{ file: nowhere.yaml }]", "no such file"),
        (
            "[{ file: endpoints.yaml, srv: a.b }]",
            "exactly one of `address`, `srv` and `file`",
        ),
        (
            "[{ srv: _http._tcp.app, weight: 2 }]",
            "expected no `weight` here",
        ),
        (
            "[{ weight: 2 }]",
            "exactly one of `address`, `srv` and `file`",
        ),
        (
            "[app.internal]",
            "expected a port after the name, such as `app.internal:8080`",
        ),
        ("[\"10.0.0.300:80\"]", "expected an address such as"),
        ("[\"a:80\", \"A:80\"]", "endpoint `a:80` is there twice"),
    ] {
        let (code, said) = check(folder.path(), &format!("{{ endpoints: {endpoints} }}"));
        assert_eq!(code, Some(78), "{endpoints}: {said}");
        assert!(said.contains(hint), "{endpoints}: {said}");
    }
}

#[test]
fn names_in_a_file_are_resolved() {
    let (origin, dns) = (echoes(2), DnsServer::start());
    let all = origin.addresses();
    dns.has("app.internal", 60, &["127.0.0.1"]);
    let gateway = start(&list(&all[..1]), &(dns.setting() + &to(FROM_FILE)));
    served_by(&gateway, 1);
    replace(
        gateway.folder(),
        &format!("- app.internal:{}\n", all[1].port()),
    );
    until("the name is used", || {
        // No request finds the upstream without endpoints meanwhile.
        served_by(&gateway, 2).keys().eq([&all[1].to_string()])
    });
}

#[test]
fn a_file_beside_addresses_adds_to_them() {
    let origin = echoes(2);
    let all = origin.addresses();
    let endpoints = format!(
        "{{ endpoints: [\"{}\", {{ file: endpoints.yaml }}] }}",
        all[0]
    );
    let gateway = start(&list(all), &to(&endpoints));
    assert_eq!(
        served_by(&gateway, 4).len(),
        2,
        "the one that is there twice counts once"
    );
    assert_eq!(get(&gateway).status, 200);
}
