//! The table of defaults in the guide.

use std::collections::BTreeMap;
use std::path::Path;

use wiregate::config::model::dns::Dns;
use wiregate::config::model::listener::{
    Alpn, ClientCertificates, Listener, ProxyProtocol, Tls, TlsVersion,
};
use wiregate::config::model::upstream::balance::{ErrorRate, Slow};
use wiregate::config::model::upstream::{
    Breaker, Cause, Health, Hedge, InFlight, Outliers, Retry, Sticky, Timeouts, Upstream,
    WeightedEndpoint,
};
use wiregate::config::model::{Http2, Limits, Memory, Overload, Rotate, Sample, Syslog, Traces};
use wiregate::value::ShortOrFull;

#[test]
fn defaults_in_the_guide_are_those_of_the_code() {
    let mut told = table("docs/limits.md", "The table");
    let limits: Vec<_> = told.keys().cloned().collect();
    let others = table("docs/configuration.md", "Defaults");
    assert!(
        limits.iter().all(|key| !others.contains_key(key)),
        "a default is told in one place"
    );
    told.extend(others);
    assert_eq!(told, defaults());
}

#[test]
fn all_that_bounds_clients_is_in_the_table_of_limits() {
    let limits = table("docs/limits.md", "The table");
    let bounds = [
        "limits.",
        "max_connections",
        "proxy_protocol.timeout",
        "tls.handshake_timeout",
    ];
    let all = defaults().into_keys();
    let expected = all.filter(|key| bounds.iter().any(|bound| key.starts_with(bound)));
    assert_eq!(
        limits.into_keys().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

/// The first two columns of the table in a section of a page.
fn table(page: &str, section: &str) -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim());
        let mut next = || cells.next().unwrap().trim_matches('`').to_owned();
        (next(), next())
    })
    .collect()
}

/// Every default of the model. The patterns are without `..`, so that none is forgotten.
fn defaults() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |key: &str, value: &dyn std::fmt::Display| {
        all.insert(key.to_owned(), value.to_string());
    };
    fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> T {
        let mut value = wiregate::value::read(&"<default>".into(), text).unwrap();
        wiregate::testing::resolve(&mut value);
        wiregate::value::decode(&value).unwrap()
    }
    fn optional<T: std::fmt::Display>(value: Option<T>) -> String {
        value.map_or("none".to_owned(), |value| value.to_string())
    }

    let Limits {
        connections,
        requests,
        overload,
        memory,
        retry_after,
        never_shed,
        body_rate,
        body_grace,
        response_rate,
        buffered_body,
        body_memory,
        body_deadline,
        head,
        head_deadline,
        idle,
        client_write,
        drain_delay,
        drain_deadline,
        start_deadline,
        idle_upstream_connections,
        websocket_idle,
        http2,
    } = Limits::default();
    assert_eq!(connections, None, "what is there instead is told in words");
    add(
        "limits.connections",
        &"three quarters of the files that may be open",
    );
    add("limits.requests", &requests);
    add("limits.retry_after", &retry_after);
    assert!(never_shed.is_empty());
    add("limits.never_shed", &"none");
    add("limits.body_rate", &body_rate);
    add("limits.body_grace", &body_grace);
    add("limits.response_rate", &response_rate);
    let (ShortOrFull::Full(overload), ShortOrFull::Full(memory)) = (overload, memory) else {
        panic!("both are looked at");
    };
    let Overload { delay, during } = overload;
    add("limits.overload.delay", &delay);
    add("limits.overload.during", &during);
    let Memory { limit, soft, hard } = memory;
    assert_eq!(limit, None, "what is there instead is told in words");
    add("limits.memory.limit", &"what there is");
    add("limits.memory.soft", &soft);
    add("limits.memory.hard", &hard);
    add("limits.buffered_body", &buffered_body);
    add("limits.body_memory", &body_memory);
    add("limits.body_deadline", &body_deadline);
    add("limits.head", &head);
    add("limits.head_deadline", &head_deadline);
    add("limits.idle", &idle);
    add("limits.client_write", &client_write);
    add("limits.drain_delay", &optional(drain_delay));
    add("limits.drain_deadline", &drain_deadline);
    add("limits.start_deadline", &start_deadline);
    add(
        "limits.idle_upstream_connections",
        &idle_upstream_connections,
    );
    add("limits.websocket_idle", &websocket_idle);
    let Http2 {
        streams,
        header_list,
        stream_window,
        connection_window,
        send_buffer,
        continuations,
        pings,
        settings,
        priorities,
        window_updates,
        empty_data,
        resets,
        unknown_frames,
    } = http2;
    add("limits.http2.streams", &streams);
    add("limits.http2.header_list", &header_list);
    add("limits.http2.stream_window", &stream_window);
    add("limits.http2.connection_window", &connection_window);
    add("limits.http2.send_buffer", &send_buffer);
    add("limits.http2.continuations", &continuations);
    add("limits.http2.pings", &pings);
    add("limits.http2.settings", &settings);
    add("limits.http2.priorities", &priorities);
    add("limits.http2.window_updates", &window_updates);
    add("limits.http2.empty_data", &empty_data);
    add("limits.http2.resets", &resets);
    add("limits.http2.unknown_frames", &unknown_frames);

    access_log_defaults(&mut add);
    listener_defaults(&mut add);

    trace_defaults(&mut add);

    let Dns {
        servers,
        timeout,
        min_ttl,
        max_ttl,
    } = Dns::default();
    let server = servers.first().map(|server| server.value);
    add("dns.servers", &optional(server));
    add("dns.timeout", &timeout);
    add("dns.min_ttl", &min_ttl);
    add("dns.max_ttl", &max_ttl);

    let endpoint = serde_json::json!({ "address": "127.0.0.1:9001" });
    let WeightedEndpoint {
        address: _,
        weight,
        priority,
        zone,
    } = serde_json::from_value(endpoint).unwrap();
    add("endpoints[].weight", &weight);
    add("endpoints[].priority", &priority);
    add("endpoints[].zone", &optional(zone.map(|zone| zone.value)));

    let text = "cookie: a\nsecret: \"${env:0123456789abcdef}\"\n";
    let Sticky {
        cookie: _,
        secret: _,
        max_age,
        path,
    } = decoded(text);
    add("sticky.max_age", &optional(max_age));
    add("sticky.path", &path.value);

    let text = "error_rate: { above: 50% }\nslow: { times: 3 }\n";
    let Outliers {
        consecutive_errors,
        error_rate,
        slow,
        statuses,
        every,
        eject_for,
        longest,
        at_most,
    } = decoded(text);
    add("outliers.consecutive_errors", &optional(consecutive_errors));
    let ErrorRate {
        above: _,
        min_requests,
    } = error_rate.unwrap();
    add("outliers.error_rate.min_requests", &min_requests);
    let Slow {
        times: _,
        min_requests,
    } = slow.unwrap();
    add("outliers.slow.min_requests", &min_requests);
    add("outliers.statuses", &statuses);
    add("outliers.every", &every);
    add("outliers.eject_for", &eject_for);
    add("outliers.longest", &longest);
    add("outliers.at_most", &at_most);

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
    add("health.host", &optional(host.map(|host| host.value)));
    add(
        "health.expect",
        &optional(expect.map(|expect| expect.value)),
    );
    add("health.every", &every);
    add("health.every_unhealthy", &optional(every_unhealthy));
    add("health.jitter", &jitter);
    add("health.start", &start);
    add("health.timeout", &timeout);
    add("health.healthy_after", &healthy_after);
    add("health.unhealthy_after", &unhealthy_after);

    let upstream = wiregate::value::read(&"<upstream>".into(), "endpoints: []").unwrap();
    let upstream: Upstream = wiregate::value::decode(&upstream).unwrap();
    add("keep_idle", &upstream.keep_idle);

    let Retry {
        attempts,
        on,
        unsafe_methods,
        budget,
        backoff,
    } = Retry::default();
    assert_eq!(on, [Cause::ConnectError]);
    add("retry.attempts", &attempts.value);
    add("retry.on", &"[connect_error]");
    add("retry.unsafe_methods", &unsafe_methods);
    add("retry.budget", &budget);
    add("retry.backoff", &backoff);

    let Timeouts {
        connect,
        tls,
        first_byte,
        idle,
        total,
    } = Timeouts::BUILT_IN;
    add("timeouts.connect", &connect.unwrap());
    add("timeouts.tls", &tls.unwrap());
    add("timeouts.first_byte", &first_byte.unwrap());
    add("timeouts.idle", &idle.unwrap());
    add("timeouts.total", &optional(total));

    let Hedge { after: _, at_most } = decoded("after: 50ms");
    add("hedge.at_most", &at_most.value);

    let InFlight {
        most,
        per_endpoint,
        queue,
        wait,
    } = InFlight::default();
    add("in_flight.most", &optional(most));
    add("in_flight.per_endpoint", &optional(per_endpoint));
    add("in_flight.queue", &queue);
    add("in_flight.wait", &wait);

    let breaker = wiregate::value::read(&"<breaker>".into(), "errors: 50%").unwrap();
    let Breaker {
        errors: _,
        of_at_least,
        within,
        open_for,
        probes,
    } = wiregate::value::decode(&breaker).unwrap();
    add("breaker.of_at_least", &of_at_least);
    add("breaker.within", &within);
    add("breaker.open_for", &open_for);
    add("breaker.probes", &probes);
    all
}

fn trace_defaults(add: &mut impl FnMut(&str, &dyn std::fmt::Display)) {
    let endpoint = serde_json::json!({ "endpoint": "http://127.0.0.1:4318/v1/traces" });
    let Traces {
        endpoint: _,
        headers,
        ca,
        sample,
        parent,
        service,
        resource,
        queue,
        batch,
        interval,
        timeout,
        compression,
    } = serde_json::from_value(endpoint).unwrap();
    assert!(headers.is_empty() && ca.is_none() && resource.is_empty());
    add("traces.sample", &sample);
    add("traces.parent", &parent.word());
    add("traces.service", &service.value);
    add("traces.queue", &queue.value);
    add("traces.batch", &batch.value);
    add("traces.interval", &interval.value);
    add("traces.timeout", &timeout.value);
    add("traces.compression", &compression.word());
}

fn listener_defaults(add: &mut impl FnMut(&str, &dyn std::fmt::Display)) {
    let text = "bind: \"127.0.0.1:80\"\nproxy_protocol: { from: 10.0.0.0/8 }\ntls:\n  \
                certificates: { certificate: a, key: b }\n  client_certificates: { ca: c }\n";
    let value = wiregate::value::read(&"<listener>".into(), text).unwrap();
    let Listener {
        bind: _,
        trusted_proxies: _,
        proxy_protocol,
        max_connections,
        max_connections_per_client,
        tls,
    } = wiregate::value::decode(&value).unwrap();
    add("max_connections", &max_connections);
    let per_client = max_connections_per_client.map_or("none".into(), |most| most.to_string());
    add("max_connections_per_client", &per_client);
    let ProxyProtocol { from: _, timeout } = proxy_protocol.unwrap();
    add("proxy_protocol.timeout", &timeout);
    let Tls {
        certificates: _,
        client_certificates,
        versions,
        alpn,
        handshake_timeout,
    } = tls.unwrap();
    let versions = versions.iter().map(|version| match version {
        TlsVersion::V12 => "1.2",
        TlsVersion::V13 => "1.3",
    });
    add("tls.versions", &list(versions));
    let alpn = alpn.iter().map(|alpn| match alpn {
        Alpn::H2 => "h2",
        Alpn::Http1 => "http/1.1",
    });
    add("tls.alpn", &list(alpn));
    add("tls.handshake_timeout", &handshake_timeout);
    let ClientCertificates { ca: _, required } = client_certificates.unwrap();
    add("client_certificates.required", &required);
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn access_log_defaults(add: &mut dyn FnMut(&str, &dyn std::fmt::Display)) {
    fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> T {
        let value = wiregate::value::read(&"<default>".into(), text).unwrap();
        wiregate::value::decode(&value).unwrap()
    }
    let Sample {
        share: _,
        statuses,
        slower_than,
    } = decoded("share: 1%\n");
    add("access_log.sample.statuses", &statuses);
    add("access_log.sample.slower_than", &slower_than);
    let Rotate {
        size: _,
        every: _,
        keep,
    } = decoded("size: 1MiB\n");
    add("access_log.rotate.keep", &keep.value);
    let Syslog {
        to: _,
        header,
        facility,
        severity,
        tag,
    } = decoded("to: \"unix:/dev/log\"\n");
    // Words of the configuration are those of the code, in lower case.
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    add("access_log.syslog.header", &word(&header));
    add("access_log.syslog.facility", &word(&facility));
    add("access_log.syslog.severity", &word(&severity));
    add("access_log.syslog.tag", &tag.value);
}
