//! Endpoints that stand out by their answers.

use super::*;

#[test]
fn an_endpoint_with_errors_in_a_row_is_out_for_a_time_that_grows() {
    let origin = echoes(3);
    let sick = origin.addresses()[0];
    let options = "retry: { attempts: 1 }, \
                   outliers: { consecutive_errors: 3, eject_for: 500ms, longest: 1h, every: 1h }";
    let text = config(origin.addresses(), options);
    let gateway = Gateway::start(&text);
    let mut client = Client::new(&gateway);
    let target = format!("/?status=503&at={}", sick.port());
    let make_sick = |client: &mut Client| {
        until("it is out", || {
            client.get(&target, &[]);
            state(&gateway, sick)["available"] == false
        });
    };
    make_sick(&mut client);
    becomes(&gateway, sick, true);
    assert_eq!(served(&gateway, 12).len(), 3);

    make_sick(&mut client);
    assert_eq!(state(&gateway, sick)["ejections"], 2);
    let metric =
        "wiregate_endpoint_ejections_total{reason=\"consecutive_errors\",upstream=\"app\"}";
    assert_eq!(gateway.metric(metric), 2.0);
    gateway.tells("endpoint is ejected");

    // What is out stays out over a reload, and comes back by time.
    gateway.reload(&text.replace("500ms", "1h"));
    becomes(&gateway, sick, true);
    make_sick(&mut client);
    gateway.reload(
        &text
            .replace("500ms", "1h")
            .replace("name: all", "name: other"),
    );
    let told = state(&gateway, sick);
    assert!(
        told["ejected_for_seconds"].as_f64().unwrap() > 100.0,
        "{told}"
    );
    assert_eq!(served(&gateway, 12).len(), 2);
    // Where nothing asks for it any more, nothing is out.
    gateway.reload(&config(origin.addresses(), "balance: round_robin"));
    assert_eq!(served(&gateway, 12).len(), 3);
}

#[test]
fn refused_and_broken_connections_are_errors_and_two_are_never_both_out() {
    let origin = echoes(2);
    let options = "retry: { attempts: 1 }, outliers: { consecutive_errors: 2, at_most: 100% }";
    let gateway = Gateway::start(&config(origin.addresses(), options));
    let mut client = Client::new(&gateway);
    let out = || -> usize {
        let all = origin.addresses().iter();
        all.filter(|address| state(&gateway, **address)["available"] == false)
            .count()
    };
    until("one is out", || {
        assert_eq!(client.get("/?fail=close", &[]).status, 502);
        out() == 1
    });
    for _ in 0..20 {
        assert_eq!(client.get("/?fail=reset", &[]).status, 502);
    }
    assert_eq!(out(), 1);
    let sick = state(&gateway, origin.addresses()[0])["available"] == false;
    let well = origin.addresses()[usize::from(sick)];
    assert_eq!(served(&gateway, 6), HashSet::from([well.to_string()]));
}

#[test]
fn intervals_show_who_fails_often_and_who_is_slow() {
    for (options, query, reason) in [
        (
            "error_rate: { above: 40%, min_requests: 5 }",
            "status=500",
            "error_rate",
        ),
        ("slow: { times: 5, min_requests: 5 }", "delay=300ms", "slow"),
    ] {
        let origin = echoes(3);
        let odd = origin.addresses()[2];
        let outliers = format!("outliers: {{ {options}, every: 4s, eject_for: 1h, longest: 1h }}");
        let gateway = Gateway::start(&config(origin.addresses(), &outliers));
        let target = format!("/?{query}&at={}", odd.port());
        let mut client = Client::new(&gateway);
        until("it is out", || {
            client.get(&target, &[]);
            let metric = format!(
                "wiregate_endpoint_ejections_total{{reason=\"{reason}\",upstream=\"app\"}}"
            );
            gateway.metric(&metric) == 1.0
        });
        assert_eq!(state(&gateway, odd)["available"], false);
        assert_eq!(served(&gateway, 9).len(), 2);
    }
}
