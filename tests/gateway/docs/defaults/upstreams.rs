//! Defaults of upstreams, and of how their names are found.

use wiregate::config::model::dns::Dns;
use wiregate::config::model::upstream::balance::{ErrorRate, Slow};
use wiregate::config::model::upstream::{
    Breaker, Cause, Health, Hedge, InFlight, Outliers, Retry, Sticky, Timeouts, Upstream,
    WeightedEndpoint,
};

use super::{Defaults, decoded, optional};

pub fn add(all: &mut Defaults) {
    let Upstream { keep_idle, .. } = decoded("endpoints: []");
    all.add("keep_idle", &keep_idle);
    add_endpoints(all);
    add_sticky(all);
    add_outliers(all);
    add_health(all);
    add_attempts(all);
    add_bounds(all);
}

fn add_endpoints(all: &mut Defaults) {
    let Dns {
        servers,
        timeout,
        family,
        min_ttl,
        max_ttl,
    } = Dns::default();
    let servers = optional(servers.first().map(|server| server.value));
    let family = format!("{family:?}").to_lowercase();
    add!(all, "dns": servers, timeout, family, min_ttl, max_ttl);
    let WeightedEndpoint {
        address: _,
        weight,
        priority,
        zone,
    } = decoded("address: \"127.0.0.1:9001\"\n");
    let zone = optional(zone.map(|zone| zone.value));
    add!(all, "endpoints[]": weight, priority, zone);
}

fn add_sticky(all: &mut Defaults) {
    let Sticky {
        cookie: _,
        secret: _,
        max_age,
        path,
    } = decoded("cookie: a\nsecret: \"${env:0123456789abcdef}\"\n");
    let (max_age, path) = (optional(max_age), path.value);
    add!(all, "sticky": max_age, path);
}

fn add_outliers(all: &mut Defaults) {
    let Outliers {
        consecutive_errors,
        error_rate,
        slow,
        statuses,
        every,
        eject_for,
        longest,
        at_most,
    } = decoded("error_rate: { above: 50% }\nslow: { times: 3 }\n");
    let consecutive_errors = optional(consecutive_errors);
    add!(all, "outliers": consecutive_errors, statuses, every, eject_for, longest, at_most);
    let ErrorRate {
        above: _,
        min_requests,
    } = error_rate.unwrap();
    add!(all, "outliers.error_rate": min_requests);
    let Slow {
        times: _,
        min_requests,
    } = slow.unwrap();
    add!(all, "outliers.slow": min_requests);
}

fn add_health(all: &mut Defaults) {
    let Health {
        http: _,
        tcp: _,
        grpc: _,
        host,
        expect,
        body: _,
        every,
        every_unhealthy,
        jitter,
        timeout,
        start,
        healthy_after,
        unhealthy_after,
    } = decoded("http: /health");
    let host = optional(host.map(|host| host.value));
    let expect = optional(expect.map(|expect| expect.value));
    let every_unhealthy = optional(every_unhealthy);
    add!(all, "health": host, expect, every, every_unhealthy, jitter);
    add!(all, "health": start, timeout, healthy_after, unhealthy_after);
}

fn add_attempts(all: &mut Defaults) {
    let Retry {
        attempts,
        on,
        unsafe_methods,
        budget,
        backoff,
    } = Retry::default();
    assert_eq!(on, [Cause::ConnectError]);
    let (attempts, on) = (attempts.value, "[connect_error]");
    add!(all, "retry": attempts, on, unsafe_methods, budget, backoff);
    let Timeouts {
        connect,
        tls,
        first_byte,
        idle,
        total,
    } = Timeouts::BUILT_IN;
    let [connect, tls, first_byte, idle] = [connect, tls, first_byte, idle].map(Option::unwrap);
    let total = optional(total);
    add!(all, "timeouts": connect, tls, first_byte, idle, total);
    let Hedge { after: _, at_most } = decoded("after: 50ms");
    all.add("hedge.at_most", &at_most.value);
}

fn add_bounds(all: &mut Defaults) {
    let InFlight {
        most,
        per_endpoint,
        queue,
        wait,
    } = InFlight::default();
    let (most, per_endpoint, wait) = (optional(most), optional(per_endpoint), wait.value);
    add!(all, "in_flight": most, per_endpoint, queue, wait);
    let Breaker {
        errors: _,
        of_at_least,
        within,
        open_for,
        probes,
    } = decoded("errors: 50%");
    add!(all, "breaker": of_at_least, within, open_for, probes);
}
