//! Whose traces go on, and which are recorded.

use super::receiver::{Receiver, SERVER};
use super::{to, traced};
use crate::harness::{Gateway, curl, echo, upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ASKER: &str = "00f067aa0ba902b7";
const STATE: &str = "tracestate: rojo=00f067aa0ba902b7";

fn parent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{ASKER}-{flags}")
}

/// The `traceparent` and the `tracestate` that the endpoint got, for these fields.
fn seen(gateway: &Gateway, fields: &[&str]) -> (String, String) {
    let url = gateway.url("/a");
    let mut arguments = vec![&*url];
    for field in fields {
        arguments.extend(["-H", field]);
    }
    let answer = curl(&arguments);
    assert_eq!(answer.status, 200);
    let headers = &answer.json()["headers"];
    let text = |name| headers[name].as_str().unwrap_or("").to_owned();
    (text("traceparent"), text("tracestate"))
}

#[test]
fn what_is_not_to_be_recorded_is_passed_on_as_it_is() {
    let (gateway, _origin, receiver) = traced("");
    let (traceparent, tracestate) = seen(&gateway, &[&parent("00"), STATE]);
    assert_eq!(traceparent, format!("00-{TRACE}-{ASKER}-00"));
    assert_eq!(tracestate, "rojo=00f067aa0ba902b7");
    let for_one_hop = [&*parent("00"), "connection: traceparent"];
    let (traceparent, _) = seen(&gateway, &for_one_hop);
    assert_eq!(traceparent, format!("00-{TRACE}-{ASKER}-00"));
    // One that is recorded says that the other one is not about to come.
    seen(&gateway, &[]);
    let spans = receiver.spans_when(2);
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:?}");
    let log = gateway.access_log(3);
    assert_eq!(log[0]["trace_id"], TRACE);
    assert_eq!(log[0].get("span_id"), None);
}

#[test]
fn a_word_that_cannot_be_read_begins_a_trace() {
    let (gateway, _origin, receiver) = traced("");
    let wrong = [
        vec![format!("traceparent: ff-{TRACE}-{ASKER}-01")],
        vec![format!("traceparent: 00-{TRACE}-{ASKER}-01-more")],
        vec![format!("traceparent: 00-{}-{ASKER}-01", "0".repeat(32))],
        vec![parent("01"), parent("01")],
        vec![],
    ];
    for (number, mut fields) in wrong.into_iter().enumerate() {
        fields.push(STATE.to_owned());
        let fields: Vec<_> = fields.iter().map(|field| &**field).collect();
        let (traceparent, tracestate) = seen(&gateway, &fields);
        let spans = receiver.spans_when(2 * number + 2);
        let [server, client] = &spans[2 * number..] else {
            panic!("{spans:?}");
        };
        assert_eq!(
            traceparent,
            format!("00-{}-{}-01", server.trace, client.id),
            "{fields:?}"
        );
        assert_eq!((&*server.parent, &client.parent), ("", &server.id));
        assert_eq!((&*server.state, &*client.state), ("", ""));
        assert_ne!(server.trace, TRACE);
        assert_eq!(tracestate, "", "{fields:?}");
    }
}

#[test]
fn of_flags_those_that_are_known_are_passed_on_and_of_later_versions_what_is_known() {
    let (gateway, _origin, receiver) = traced(", sample: 0%");
    let later = format!("traceparent: 42-{TRACE}-{ASKER}-ff-what-ever");
    let (traceparent, _) = seen(&gateway, &[&later]);
    let spans = receiver.spans_when(2);
    assert_eq!(traceparent, format!("00-{TRACE}-{}-03", spans[1].id));
    assert_eq!(spans[0].parent, ASKER);
}

#[test]
fn where_nothing_is_recorded_that_begins_here_endpoints_are_told_so() {
    let (gateway, _origin, receiver) = traced(", sample: 0%");
    let (traceparent, _) = seen(&gateway, &[]);
    assert_eq!(traceparent.len(), 55);
    assert!(traceparent.ends_with("-00"), "{traceparent}");
    let line = &gateway.access_log(1)[0];
    assert_eq!(line["trace_id"], traceparent[3..35]);
    assert_eq!(line.get("span_id"), None);
    seen(&gateway, &[&parent("01")]);
    let spans = receiver.spans_when(2);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:?}");
}

#[test]
fn a_client_that_is_not_heeded_begins_a_trace() {
    let (origin, receiver) = (echo(), Receiver::start());
    let config = |rule: &str| {
        to(&receiver, &format!(", parent: {rule}"))
            + &upstream(&origin)
            + "routes: [{ name: all, upstream: app }]\n"
    };
    let never = Gateway::start(&config("never"));
    let stranger = Gateway::start(&config("trusted_proxies"));
    let proxied = Gateway::start_with(
        &config("trusted_proxies"),
        "{ trusted_proxies: [127.0.0.0/8] }",
    );
    for gateway in [&never, &stranger] {
        let (traceparent, tracestate) = seen(gateway, &[&parent("00"), STATE]);
        assert!(!traceparent.contains(TRACE), "{traceparent}");
        assert!(traceparent.ends_with("-01"), "{traceparent}");
        assert_eq!(tracestate, "");
    }
    let (traceparent, tracestate) = seen(&proxied, &[&parent("01"), STATE]);
    assert!(traceparent.contains(TRACE), "{traceparent}");
    assert_eq!(tracestate, "rojo=00f067aa0ba902b7");
    let spans = receiver.spans_when(6);
    let heeded = spans.iter().filter(|span| span.trace == TRACE);
    assert_eq!(heeded.count(), 2);
}

#[test]
fn a_client_cannot_take_the_trace_from_endpoints_but_a_filter_can() {
    let (origin, receiver) = (echo(), Receiver::start());
    let routes = "routes:\n  \
        - { name: all, upstream: app }\n  \
        - { name: foreign, match: { path: /foreign }, filters: [headers: { request: { remove: [traceparent, tracestate] } }], upstream: app }\n";
    let gateway = Gateway::start(&(to(&receiver, "") + &upstream(&origin) + routes));
    let fields = [&*parent("01"), "connection: traceparent, tracestate"];
    let (traceparent, _) = seen(&gateway, &fields);
    assert!(traceparent.contains(TRACE), "{traceparent}");
    let answer = curl(&["-H", &parent("01"), "-H", STATE, &gateway.url("/foreign")]);
    let headers = &answer.json()["headers"];
    assert_eq!(headers.get("traceparent"), None);
    assert_eq!(headers.get("tracestate"), None);
    let spans = receiver.spans_when(4);
    assert_eq!(
        spans[2].kind, SERVER,
        "the request is recorded all the same"
    );
    assert_eq!(spans[3].parent, spans[2].id);
}

#[test]
fn filters_see_the_span_of_the_request() {
    let receiver = Receiver::start();
    let routes =
        "routes: [{ name: all, filters: [respond: { body: '${request.headers.traceparent}' }] }]\n";
    let gateway = Gateway::start(&(to(&receiver, "") + routes));
    let said = curl(&["-H", &parent("01"), &gateway.url("/")]).text();
    let span = &receiver.spans_when(1)[0];
    assert_eq!(said, format!("00-{TRACE}-{}-01", span.id));
}

#[test]
fn a_share_is_recorded_of_what_begins_here() {
    let receiver = Receiver::start();
    let routes = "routes: [{ name: all, filters: [respond: 204] }]\n";
    let gateway = Gateway::start(&(to(&receiver, ", sample: 25%") + routes));
    let url = gateway.url("/");
    let arguments = ["--h1", "-n", "2000", "-c", "4", &*url];
    let output = std::process::Command::new("h2load")
        .args(arguments)
        .output();
    assert!(output.unwrap().status.success());
    // 500 are to be expected; a chance of less than one in a billion lies outside of six times
    // the deviation, which is 19.4.
    let recorded = gateway
        .access_log(2000)
        .iter()
        .filter(|line| line.get("span_id").is_some())
        .count();
    assert!((384..=616).contains(&recorded), "{recorded}");
    assert_eq!(receiver.spans_when(recorded).len(), recorded);
}

#[test]
fn over_http2_traces_go_on_as_well() {
    let (gateway, _origin, receiver) = traced("");
    let field = parent("01");
    let url = gateway.url("/a");
    let answer = curl(&["--http2-prior-knowledge", "-H", &field, "-H", STATE, &url]);
    let spans = receiver.spans_when(2);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!((&*server.trace, &*server.parent), (TRACE, ASKER));
    let headers = &answer.json()["headers"];
    let expected = format!("00-{TRACE}-{}-01", client.id);
    assert_eq!(headers["traceparent"], expected.as_str());
    assert_eq!(headers["tracestate"], "rojo=00f067aa0ba902b7");
}
