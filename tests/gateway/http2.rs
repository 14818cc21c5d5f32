//! HTTP/2 clients: those that ask too much, and that others do not feel it.

mod differential;
mod replies;
mod slow;
pub mod wire;

use std::process::Command;
use std::time::{Duration, Instant};

use super::faults::calm::beside;
use super::harness::{Gateway, curl, echo, until, upstream};
use wire::*;

fn gateway(limits: &str, origin: &super::harness::Echo) -> Gateway {
    // Without optimisation, some loads here are more than it can do.
    Gateway::start(&format!(
        "limits: {{ idle: 30s, overload: off, http2: {limits} }}\nupstreams: {{ app: {{ endpoints: [\"{}\"], \
         timeouts: {{ first_byte: 5s, idle: 5s }} }} }}\nroutes: [{{ name: all, upstream: app }}]\n",
        origin.addresses()[0]
    ))
}

/// What a flood of each kind looks like, so many times; and the words that its end is counted by.
fn flood(kind: &str, count: usize) -> Vec<u8> {
    let ping = frame(PING, 0, 0, &[0; 8]);
    let settings = frame(SETTINGS, 0, 0, b"");
    let priority = frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]);
    let window_update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let empty = frame(DATA, 0, 1, b"");
    let unknown = frame(0xbb, 0, 0, b"what is this");
    let open = headers(1, END_HEADERS, &post("/upload"));
    match kind {
        "pings" => ping.repeat(count),
        "settings" => settings.repeat(count),
        "priorities" => priority.repeat(count),
        "window_updates" => window_update.repeat(count),
        "empty_data" => [open, empty.repeat(count)].concat(),
        "continuations" => {
            let more = frame(CONTINUATION, 0, 1, &field("x-more", "and more"));
            [headers(1, 0, &get("/")), more.repeat(count)].concat()
        }
        "resets" => (0..count as u32)
            .flat_map(|n| {
                let stream = 2 * n + 1;
                let mut pair = headers(stream, END_HEADERS | END_STREAM, &get("/?delay=5s"));
                pair.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                pair
            })
            .collect(),
        "unknown_frames" => unknown.repeat(count),
        _ => unreachable!(),
    }
}

/// The kinds, with more of each than the defaults allow.
const FLOODS: [(&str, usize); 8] = [
    ("pings", 1500),
    ("settings", 200),
    ("priorities", 1500),
    ("window_updates", 3000),
    ("empty_data", 1500),
    ("continuations", 20),
    ("resets", 800),
    ("unknown_frames", 1500),
];

fn ended(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "wiregate_http2_connections_ended_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn a_flood_of_each_kind_ends_its_connection_and_disturbs_nobody() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let mut other = Client::open(gateway.address());
    assert_eq!(other.ask(1, "/"), 0x88);
    let connections = || gateway.metric("wiregate_connections{listener=\"public\"}");
    until("only one is open", || connections() == 1.0);
    let descriptors = gateway.descriptors();

    let memory = gateway.status("VmHWM");
    let (mut stream, mut ends) = (1, 0.0);
    for (kind, count) in FLOODS {
        let mut client = Client::open(gateway.address());
        beside(&gateway, "/", || {
            client.write(&flood(kind, count));
            assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM), "{kind}");
            assert!(client.next().is_none(), "{kind}: it is closed");
        });
        // Where `h2` has a bound of its own, it may be there first.
        ends += 1.0;
        let own = |gateway| {
            FLOODS
                .iter()
                .map(|(kind, _)| ended(gateway, kind))
                .sum::<f64>()
        };
        until(&format!("{kind} is counted"), || {
            own(&gateway) + ended(&gateway, "too_much") == ends
        });
        stream += 2;
        assert_eq!(other.ask(stream, "/"), 0x88, "another client, after {kind}");
    }
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    let attempts = || gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
    until("nothing is in flight", || {
        in_flight() == 0.0 && attempts() == 0.0
    });
    until("all connections but one are gone", || connections() == 1.0);
    // Each worker may keep a connection to the endpoint.
    until("all descriptors are given back", || {
        gateway.descriptors() <= descriptors + 2
    });
    assert_eq!(other.ask(99, "/"), 0x88);
    let grown = gateway.status("VmHWM") - memory;
    assert!(grown < 32 * 1024, "{grown} kB at the worst moment");
}

#[test]
fn each_rate_can_be_configured() {
    let origin = echo();
    let limits = "{ pings: 3/h, settings: 3/h, priorities: 3/h, window_updates: 3/h, \
                  empty_data: 3/h, continuations: 3, resets: 3/h, unknown_frames: 3/h }";
    let gateway = gateway(limits, &origin);
    for (kind, _) in FLOODS {
        // Some belong to the streams that are opened; three more are allowed.
        let (within, beyond) = match kind {
            "settings" => (2, 3), // and the first one
            _ => (3, 4),
        };
        let mut client = Client::open(gateway.address());
        client.write(&flood(kind, within));
        if kind != "continuations" {
            assert_eq!(client.ask(101, "/"), 0x88, "{kind}");
        }
        let before = ended(&gateway, kind);
        let mut client = Client::open(gateway.address());
        client.write(&flood(kind, beyond));
        assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM), "{kind}");
        until("it is counted", || ended(&gateway, kind) == before + 1.0);
    }
}

#[test]
fn answers_to_no_ping_are_pings_and_write_nothing_into_the_log() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let answer = frame(PING, 1, 0, &[0; 8]);
    let mut client = Client::open(gateway.address());
    client.write(&answer.repeat(100));
    assert_eq!(client.ask(1, "/"), 0x88);
    let mut client = Client::open(gateway.address());
    client.write(&answer.repeat(1500));
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    until("it is counted", || ended(&gateway, "pings") == 1.0);
    gateway.signal("HUP");
    until("the log is read up to here", || {
        gateway.log().contains("configuration")
    });
    let log = gateway.log();
    assert!(!log.to_lowercase().contains("ping"), "{log}");
}

#[test]
fn real_clients_stay_below_the_limits() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    for (path, requests) in [("/", "3000"), ("/?bytes=1000000", "150")] {
        let output = Command::new("h2load")
            .args(["-n", requests, "-c", "3", "-m", "40", &gateway.url(path)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(&format!("{requests} succeeded, 0 failed")),
            "{said}"
        );
    }
    let answer = curl(&["--http2-prior-knowledge", &gateway.url("/?bytes=20000000")]);
    assert_eq!((answer.status, answer.body.len()), (200, 20_000_000));
    let metrics = gateway.admin("GET", "/metrics").text();
    assert!(
        !metrics.contains("wiregate_http2_connections_ended_total{"),
        "{metrics}"
    );
}

#[test]
fn says_how_many_streams_it_takes_and_refuses_more() {
    let origin = echo();
    let gateway = gateway("{ streams: 2 }", &origin);
    let mut client = Client::open(gateway.address());
    let settings = client.next_of(SETTINGS).unwrap();
    let most = settings
        .payload
        .chunks(6)
        .find(|setting| setting[..2] == [0, 3]);
    assert_eq!(most.unwrap()[2..], [0, 0, 0, 2]);
    for stream in [1, 3, 5] {
        client.write(&headers(
            stream,
            END_HEADERS | END_STREAM,
            &get("/?delay=300ms"),
        ));
    }
    let reset = client.next_of(RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number(0)), (5, REFUSED_STREAM));
    for _ in 0..2 {
        assert_eq!(client.next_of(HEADERS).unwrap().payload[0], 0x88);
    }
    assert_eq!(client.ask(7, "/"), 0x88);
}

#[test]
fn header_fields_have_a_limit() {
    let origin = echo();
    let gateway = gateway("{ header_list: 4KiB }", &origin);
    let url = gateway.url("/");
    let ask = |bytes: usize| {
        let field = format!("x-long: {}", "x".repeat(bytes));
        curl(&["--http2-prior-knowledge", "-H", &field, &url]).status
    };
    assert_eq!((ask(3000), ask(6000)), (200, 431));
}

#[test]
fn a_malformed_request_is_reset_alone() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let mut client = Client::open(gateway.address());
    let no_path = vec![0x82, 0x86, 0x01, 1, b'a'];
    let two_lengths = [
        get("/"),
        field("content-length", "1"),
        field("content-length", "2"),
    ];
    let other_host = [get("/"), field("host", "other")].concat();
    let connection = [get("/"), field("connection", "close")].concat();
    let late_pseudo = [get("/"), field("x-a", "1"), vec![0x82]].concat();
    let fragment = get("/a#b");
    let blanks = [" y", "y ", "\ty"].map(|value| [get("/"), field("x-a", value)].concat());
    let mut no_scheme = get("/");
    no_scheme.splice(1..2, [0x06, 0]);
    let mut stream = 1;
    for block in [
        fragment,
        no_path,
        two_lengths.concat(),
        other_host,
        connection,
        late_pseudo,
        no_scheme,
    ]
    .into_iter()
    .chain(blanks)
    {
        client.write(&headers(stream, END_HEADERS | END_STREAM, &block));
        let reset = client
            .next_of(RST_STREAM)
            .unwrap_or_else(|| panic!("no reset of {stream}"));
        assert_eq!((reset.stream, reset.number(0)), (stream, PROTOCOL_ERROR));
        stream += 2;
    }
    assert_eq!(client.ask(stream, "/"), 0x88);
    assert_eq!(
        gateway.metric("wiregate_upstream_requests_total{code=\"200\",upstream=\"app\"}"),
        1.0
    );
}

#[test]
fn too_many_malformed_requests_end_the_connection() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let mut client = Client::open(gateway.address());
    for n in 0..40 {
        let block = [get("/"), field("host", "other")].concat();
        client.write(&headers(2 * n + 1, END_HEADERS | END_STREAM, &block));
    }
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    until("it is counted", || ended(&gateway, "malformed") == 1.0);
}

#[test]
fn what_is_no_frame_ends_the_connection_with_the_right_code() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let mut client = Client::open(gateway.address());
    client.write(&frame(DATA, 0, 0, b"data without a stream"));
    assert_eq!(client.goaway(), Some(PROTOCOL_ERROR));
    until("it is counted", || ended(&gateway, "protocol_error") == 1.0);
}

#[test]
fn pseudo_header_fields_in_trailers_are_malformed() {
    let origin = echo();
    let gateway = gateway("{}", &origin);
    let trailers = |block: &[u8]| {
        let mut client = Client::open(gateway.address());
        // `:authority` goes into the table that both sides keep.
        let mut fields = vec![0x83, 0x86, 0x84];
        fields.extend(b"\x41\x09localhost");
        client.write(&headers(1, END_HEADERS, &fields));
        client.write(&frame(DATA, 0, 1, b"body"));
        client.write(&headers(1, END_HEADERS | END_STREAM, block));
        client
    };
    assert_eq!(
        trailers(&field("x-sum", "1"))
            .next_of(HEADERS)
            .unwrap()
            .payload[0],
        0x88
    );
    let pseudo: [&[u8]; 4] = [
        b"\x84",
        b"\xbe",
        &field(":path", "/other"),
        &field(":own", "1"),
    ];
    for (count, block) in (1..).zip(pseudo) {
        assert_eq!(trailers(block).goaway(), Some(PROTOCOL_ERROR), "{block:?}");
        until("it is counted", || {
            ended(&gateway, "pseudo_trailers") == f64::from(count)
        });
    }
}

#[test]
fn an_idle_connection_is_told_that_it_ends() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "limits: {{ idle: 1s }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut client = Client::open(gateway.address());
    assert_eq!(
        client.ask(1, "/?delay=2s"),
        0x88,
        "one that works is not idle"
    );
    assert_eq!(client.goaway(), Some(NO_ERROR));
    assert!(client.next().is_none());
}

#[test]
fn streams_in_flight_finish_while_the_gateway_ends() {
    let origin = echo();
    let mut gateway = gateway("{}", &origin);
    let mut client = Client::open(gateway.address());
    let mut silent = Client::open(gateway.address());
    assert_eq!(silent.ask(1, "/"), 0x88);
    client.write(&headers(
        1,
        END_HEADERS | END_STREAM,
        &get("/?delay=1500ms"),
    ));
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    until("it is in flight", || in_flight() == 1.0);
    gateway.signal("TERM");
    let start = Instant::now();
    assert_eq!(client.goaway(), Some(NO_ERROR));
    let answer = client.next_of(HEADERS).expect("an answer");
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x88));
    // One that does not leave by itself is not waited for once it has no streams.
    assert_eq!(silent.goaway(), Some(NO_ERROR));
    assert!(gateway.wait().success());
    assert!(start.elapsed() < Duration::from_secs(15));
}

/// What the gateway answers by itself has nobody to go to: that is no failure of the gateway.
#[test]
fn who_resets_a_stream_before_its_reply_has_left() {
    let gateway = Gateway::start("routes: [{ name: all, filters: [respond: { status: 404 }] }]\n");
    let mut client = Client::open(gateway.address());
    let mut both = headers(1, END_HEADERS | END_STREAM, &get("/"));
    both.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    client.write(&both);
    let line = &gateway.access_log(1)[0];
    assert_eq!(
        (&line["status"], &line["error"]),
        (&499.into(), &"client_gone".into()),
        "{line}"
    );
}
