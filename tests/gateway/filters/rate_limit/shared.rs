//! Gateways that count together, exactly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::passing;
use crate::harness::{Gateway, curl};
use crate::redis::{Redis, Server, on_each_server};

const ALGORITHMS: [&str; 4] = ["gcra", "token_bucket", "fixed_window", "sliding_window"];

/// A route whose requests are counted in this store, and answered by the gateway.
fn limited(redis: &Redis, options: &str) -> String {
    format!(
        "limits: {{ overload: off }}\n\
         routes: [{{ name: all, filters: [rate_limit: {{ {options}, store: {{ redis: {{ at: \"{}\", \
         deadline: 10s }} }} }}, respond: ok] }}]",
        redis.url()
    )
}

/// How many requests pass that eight threads send to these gateways: a hundred each, and more until
/// so many reloads have been made.
fn admitted(gateways: &[&Gateway], reloads: &AtomicUsize, wanted: usize) -> usize {
    let admitted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8 {
            let admitted = &admitted;
            scope.spawn(move || {
                let mut turn = 0;
                while turn < 10 || reloads.load(Ordering::Relaxed) < wanted {
                    let gateway = gateways[(number + turn) % gateways.len()];
                    admitted.fetch_add(passing(gateway, "/", 10), Ordering::Relaxed);
                    turn += 1;
                }
            });
        }
    });
    admitted.into_inner()
}

on_each_server![
    two_gateways_and_eight_threads_never_admit_more_than_the_limit,
    reloads_throughout_neither_grant_nor_take_anything,
    what_one_limit_refuses_is_taken_from_none_in_the_store_as_well,
    a_named_filter_counts_for_its_routes_in_all_gateways_over_one_connection,
];

fn two_gateways_and_eight_threads_never_admit_more_than_the_limit(server: Server) {
    let redis = server.start();
    for algorithm in ALGORITHMS {
        let options = format!("limit: [500/365d, 200/365d], algorithm: {algorithm}");
        let gateways = [(); 2].map(|()| Gateway::start(&limited(&redis, &options)));
        let [one, other] = &gateways;
        let none = AtomicUsize::new(0);
        assert_eq!(admitted(&[one, other], &none, 0), 200, "{algorithm}");
        assert_eq!(passing(other, "/", 20), 0, "{algorithm}");
    }
}

fn reloads_throughout_neither_grant_nor_take_anything(server: Server) {
    let redis = server.start();
    for algorithm in ALGORITHMS {
        let options = format!("limit: 200/365d, algorithm: {algorithm}");
        let in_memory = format!(
            "limits: {{ overload: off }}\n\
             routes: [{{ name: all, filters: [rate_limit: {{ {options} }}, respond: ok] }}]"
        );
        for configuration in [limited(&redis, &options), in_memory] {
            let gateway = Gateway::start(&configuration);
            let passed = admitted_over_reloads(&gateway, &configuration);
            assert_eq!(passed, 200, "{configuration}");
            assert_eq!(passing(&gateway, "/", 20), 0, "{configuration}");
        }
    }
}

/// How many requests pass while the gateway is reloaded five times.
fn admitted_over_reloads(gateway: &Gateway, configuration: &str) -> usize {
    let reloads = AtomicUsize::new(0);
    thread::scope(|scope| {
        let counting = scope.spawn(|| admitted(&[gateway], &reloads, 5));
        for number in 1..=5 {
            let answer = format!("respond: \"{number}\"");
            gateway.reload(&configuration.replace("respond: ok", &answer));
            reloads.store(number, Ordering::Relaxed);
        }
        counting.join().unwrap()
    })
}

fn what_one_limit_refuses_is_taken_from_none_in_the_store_as_well(server: Server) {
    let redis = server.start();
    let options = "limit: [2/365d, 5/364d], by: 'request.headers[\"x-key\"]', \
                   cost: 'int(request.headers[\"x-cost\"])'";
    let gateway = Gateway::start(&limited(&redis, options));
    let ask = |cost: u32| {
        let cost = format!("x-cost: {cost}");
        gateway.ask("/", &["-H", &cost, "-H", "x-key: a"])
    };
    for _ in 0..10 {
        assert_eq!(ask(3).status, 429);
    }
    let answer = ask(2);
    assert_eq!(answer.status, 200);
    let told = answer.header("ratelimit");
    assert!(told.contains("5/364d\";r=3;"), "{told}");
    assert_eq!(ask(1).json()["violated-policies"][0], "rate_limit 2/365d");
}

fn a_named_filter_counts_for_its_routes_in_all_gateways_over_one_connection(server: Server) {
    let redis = server.start();
    let configuration = format!(
        "filters: {{ quota: {{ rate_limit: {{ limit: 4/365d, store: {{ redis: {{ at: \"{url}\", deadline: 10s }} }} }} }} }}\n\
         routes:\n\
         - {{ name: a, match: {{ path: /a }}, filters: [quota, respond: ok] }}\n\
         - {{ name: b, match: {{ path: /b }}, filters: [quota, respond: ok] }}\n\
         - {{ name: c, match: {{ path: /c }}, filters: [{{ rate_limit: {{ limit: 4/365d, store: {{ redis: {{ at: \"{url}\", deadline: 10s }} }} }} }}, respond: ok] }}\n",
        url = redis.url()
    );
    let gateways = [(); 2].map(|()| Gateway::start(&configuration));
    let left = |gateway: &Gateway, path: &str| {
        let field = curl(&[&gateway.url(path)]).header("ratelimit").to_owned();
        let rest = field.split_once(";r=").expect(&field).1;
        rest.split(';').next().unwrap().parse::<u32>().unwrap()
    };
    let [one, other] = &gateways;
    assert_eq!(
        [left(one, "/a"), left(other, "/b"), left(one, "/b")],
        [3, 2, 1]
    );
    assert_eq!(
        [left(other, "/c"), left(one, "/c"), left(other, "/a")],
        [3, 2, 0]
    );
    let clients = redis.cli(&["client", "list"]);
    let clients = clients.lines().filter(|line| !line.contains("cmd=client"));
    assert_eq!(clients.count(), 2, "one of each gateway");
}
