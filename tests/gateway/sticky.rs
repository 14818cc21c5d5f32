//! The cookie that leads a client back to the endpoint that served it.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::balance::{CHECKED, config, plain};
use super::harness::{Gateway, echoes, until};
use super::peers::{Client, set_health, state};

const STICKY: &str = "sticky: { cookie: at, secret: \"${env:KEY_OF_ANN}\", max_age: 1h }";

#[test]
fn a_client_comes_back_to_its_endpoint_over_reloads_until_that_is_gone() {
    let origin = echoes(3);
    let endpoints = plain(origin.addresses());
    let gateway = Gateway::start(&config(&endpoints, STICKY));
    let mut client = Client::new(&gateway);
    let first = client.get("/", &["cookie: a=1"]);
    let (home, field) = (first.by(), first.header("set-cookie").to_owned());
    let (cookie, attributes) = field.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");

    let with_cookie = format!("cookie: a=1; {cookie}; b=2");
    for _ in 0..8 {
        let got = client.get("/", &[&with_cookie]);
        assert_eq!((got.by(), got.header("set-cookie")), (home.clone(), ""));
        assert_eq!(got.body["headers"]["cookie"], "a=1; b=2");
    }
    gateway.reload(&config(&endpoints, STICKY).replace("name: all", "name: other"));
    for _ in 0..8 {
        assert_eq!(client.get("/", &[&with_cookie]).by(), home);
    }

    let left: Vec<_> = (endpoints.iter().filter(|e| !e.contains(&home)).cloned()).collect();
    gateway.reload(&config(&left, STICKY));
    let moved = client.get("/", &[&with_cookie]);
    assert_ne!(moved.by(), home);
    let new = moved
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_ne!(new, cookie);
    for _ in 0..6 {
        let got = client.get("/", &[&format!("cookie: {new}")]);
        assert_eq!(got.by(), moved.by());
        assert_eq!(got.header("set-cookie"), "");
    }
}

#[test]
fn a_cookie_that_the_gateway_did_not_make_leads_nowhere() {
    let origin = echoes(2);
    let endpoints = plain(origin.addresses());
    let foreign = Gateway::start(&config(
        &endpoints,
        &STICKY.replace("KEY_OF_ANN", "KEY_OF_BOB"),
    ));
    let cookie = {
        let got = Client::new(&foreign).get("/", &[]);
        got.header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    let gateway = Gateway::start_with(
        &config(&endpoints, STICKY),
        "{ trusted_proxies: [127.0.0.0/8] }",
    );
    let mut client = Client::new(&gateway);
    for forged in [&cookie, "at=", "at=1", &format!("at={}", "A".repeat(43))] {
        let cookie = format!("cookie: {forged}");
        let mut served = HashSet::new();
        for _ in 0..4 {
            let got = client.get("/", &[&cookie]);
            served.insert(got.by());
            assert!(got.header("set-cookie").starts_with("at="), "{forged}");
        }
        assert_eq!(served.len(), 2, "{forged}");
    }
    let secure = client.get("/", &["x-forwarded-proto: https"]);
    assert!(secure.header("set-cookie").ends_with("; Secure"));
    assert!(!client.get("/", &[]).header("set-cookie").contains("Secure"));
}

#[test]
fn a_client_of_an_unhealthy_endpoint_gets_another_one() {
    let origin = echoes(2);
    let options = format!("{STICKY}, {CHECKED}");
    let gateway = Gateway::start(&config(&plain(origin.addresses()), &options));
    let mut client = Client::new(&gateway);
    let first = client.get("/", &[]);
    let cookie = first
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let home: SocketAddr = first.by().parse().unwrap();
    set_health(home, 503);
    until("it is out", || state(&gateway, home)["available"] == false);
    let moved = client.get("/", &[&format!("cookie: {cookie}")]);
    assert_ne!(moved.by(), first.by());
    assert!(moved.header("set-cookie").starts_with("at="));
}

#[test]
fn a_client_whose_endpoint_is_full_for_a_moment_keeps_it() {
    let origin = echoes(2);
    let options = format!("{STICKY}, in_flight: {{ per_endpoint: 1, queue: 10 }}");
    let gateway = Gateway::start(&config(&plain(origin.addresses()), &options));
    let mut client = Client::new(&gateway);
    let first = client.get("/", &[]);
    let cookie = first.header("set-cookie").split(';').next().unwrap();
    let cookie = format!("cookie: {cookie}");
    let home: SocketAddr = first.by().parse().unwrap();

    let (mut busy, copy) = (Client::new(&gateway), cookie.clone());
    let slow = std::thread::spawn(move || busy.get("/?delay=3s", &[&copy]).by());
    until("it is full", || state(&gateway, home)["in_flight"] == 1);
    let elsewhere = client.get("/", &[&cookie]);
    assert_ne!(elsewhere.by(), first.by());
    assert_eq!(elsewhere.header("set-cookie"), "");
    assert_eq!(slow.join().unwrap(), first.by());
    until("it has room", || state(&gateway, home)["in_flight"] == 0);
    assert_eq!(client.get("/", &[&cookie]).by(), first.by());
}
