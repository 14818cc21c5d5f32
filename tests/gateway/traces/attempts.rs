//! The spans of attempts: retries, failures, races, and the cache.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::receiver::{CLIENT, Receiver, SERVER, Span, field};
use super::to;
use crate::harness::{Gateway, curl, echo};
use crate::origin::{self, Seen, empty};

fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A gateway with these endpoints, and options of their upstream.
fn gateway(receiver: &Receiver, endpoints: &[SocketAddr], options: &str) -> Gateway {
    let endpoints: Vec<_> = endpoints.iter().map(|a| format!("\"{a}\"")).collect();
    let app = format!(
        "upstreams: {{ app: {{ endpoints: [{}]{options} }} }}\n",
        endpoints.join(", ")
    );
    let routes = "routes: [{ name: all, upstream: app }]\n";
    Gateway::start(&(to(receiver, "") + &app + routes))
}

/// The span that a head in lower case names in its `traceparent`.
fn span_in(head: &str) -> String {
    field(head, "traceparent").unwrap()[36..52].to_owned()
}

#[test]
fn each_try_is_a_span_of_its_own_that_the_endpoint_hears_of() {
    let receiver = Receiver::start();
    let asked = AtomicUsize::new(0);
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let copy = heads.clone();
    let address = origin::answers(move |head| {
        copy.lock().unwrap().push(head.to_ascii_lowercase());
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        empty(if first { 503 } else { 200 })
    });
    let retry = ", retry: { attempts: 2, on: [503], backoff: 1ms }";
    let gateway = gateway(&receiver, &[address], retry);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    let spans = receiver.spans_when(3);
    let [server, first, second] = &spans[..] else {
        panic!("{spans:?}");
    };
    let told = |span: &Span| {
        let get = |name| span.get(name).to_owned();
        let status = get("http.response.status_code");
        let count = get("http.request.resend_count");
        (span.failed, status, get("error.type"), count)
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(told(first), (true, text("503"), text("503"), text("")));
    assert_eq!(told(second), (false, text("200"), text(""), text("1")));
    assert_eq!(told(server), (false, text("200"), text(""), text("")));
    let heads = heads.lock().unwrap();
    for (head, span) in heads.iter().zip([first, second]) {
        assert_eq!((span.kind, &span.parent), (CLIENT, &server.id));
        assert_eq!(span_in(head), span.id);
    }
}

#[test]
fn a_try_that_gets_no_answer_tells_why() {
    let receiver = Receiver::start();
    let refuses = gateway(&receiver, &[nobody()], ", retry: { attempts: 2 }");
    assert_eq!(curl(&[&refuses.url("/")]).status, 502);
    let spans = receiver.spans_when(3);
    let [server, tries @ ..] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (server.failed, server.get("error.type")),
        (true, "connection_refused")
    );
    for span in tries {
        assert_eq!(
            (span.failed, span.get("error.type")),
            (true, "connection_refused")
        );
        assert_eq!(span.get("http.response.status_code"), "");
    }

    let silent = origin::serve(|_, mut stream| {
        origin::drain(&mut stream);
    });
    let late = gateway(&receiver, &[silent], ", timeouts: { first_byte: 100ms }");
    assert_eq!(curl(&[&late.url("/")]).status, 504);
    let spans = receiver.spans_when(5);
    for span in &spans[3..] {
        assert_eq!(
            (span.failed, span.get("error.type")),
            (true, "http_response_timeout")
        );
    }

    let breaks = origin::serve(|_, mut stream| {
        origin::head(&mut stream);
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).unwrap();
    });
    let broken = gateway(&receiver, &[breaks], "");
    curl(&[&broken.url("/")]);
    let spans = receiver.spans_when(7);
    for span in &spans[5..] {
        assert_eq!(span.get("http.response.status_code"), "200", "{span:?}");
        assert_eq!(
            (span.failed, span.get("error.type")),
            (true, "http_response_incomplete")
        );
    }
}

#[test]
fn an_endpoint_that_says_no_is_an_error_of_the_client_and_not_of_the_server() {
    let (receiver, origin) = (Receiver::start(), echo());
    let gateway = gateway(&receiver, origin.addresses(), "");
    curl(&[&gateway.url("/a?status=404")]);
    let spans = receiver.spans_when(2);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!((server.failed, server.get("error.type")), (false, ""));
    assert_eq!((client.failed, client.get("error.type")), (true, "404"));
}

#[test]
fn in_a_race_both_tries_are_spans() {
    let receiver = Receiver::start();
    let slow = origin::serve(|_, mut stream| {
        origin::drain(&mut stream);
    });
    let (fast, at_fast) = Seen::by(|_| empty(200));
    let hedge = ", hedge: { after: 50ms, at_most: 50% }";
    let gateway = gateway(&receiver, &[slow, at_fast], hedge);
    // The slow one is the first one for some of them.
    let mut hedged = 0;
    while hedged == 0 {
        assert!(fast.count() < 8, "no race in eight requests");
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
        let log = gateway.access_log(fast.count());
        hedged = log.iter().filter(|line| line["attempts"] == 2).count();
    }
    let spans = receiver.spans_when(2 * fast.count() + hedged);
    let abandoned = |span: &&Span| span.get("wiregate.abandoned") == "true";
    let raced = spans.iter().find(abandoned).unwrap().clone();
    let all = receiver.spans();
    let trace: Vec<_> = all
        .iter()
        .filter(|span| span.trace == raced.trace)
        .collect();
    let [server, first, second] = &trace[..] else {
        panic!("{trace:?}");
    };
    assert_eq!((server.kind, &first.id), (SERVER, &raced.id));
    assert_eq!((&first.parent, &second.parent), (&server.id, &server.id));
    assert!(!first.failed, "nobody is to blame");
    assert_eq!(first.get("server.port"), slow.port().to_string());
    assert_eq!(second.get("server.port"), at_fast.port().to_string());
    assert_eq!(second.get("http.request.resend_count"), "1");
    assert_eq!(second.get("http.response.status_code"), "200");
    assert_eq!(span_in(&fast.last().join("\n")), second.id);
}

#[test]
fn a_hit_of_the_cache_has_no_try_and_a_fetch_is_one_of_whoever_asked() {
    let receiver = Receiver::start();
    let (seen, address) = Seen::by(|_| {
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok".to_owned()
    });
    let text = format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache], upstream: app }}]\n"
    );
    let gateway = Gateway::start(&(to(&receiver, "") + &text));
    assert_eq!(curl(&[&gateway.url("/a")]).text(), "ok");
    let spans = receiver.spans_when(2);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(server.get("wiregate.cache"), "miss");
    assert_eq!((&client.parent, &client.trace), (&server.id, &server.trace));
    assert_eq!(span_in(&seen.last().join("\n")), client.id);

    assert_eq!(curl(&[&gateway.url("/a")]).text(), "ok");
    let spans = receiver.spans_when(3);
    assert_eq!((spans.len(), seen.count()), (3, 1));
    assert_eq!(
        (spans[2].kind, spans[2].get("wiregate.cache")),
        (SERVER, "hit")
    );
}

#[test]
fn what_is_fetched_in_the_background_is_a_part_of_the_request_that_made_it_so() {
    let receiver = Receiver::start();
    let (seen, address) = Seen::by(|_| {
        "HTTP/1.1 200 OK\r\ncache-control: max-age=0, stale-while-revalidate=60\r\n\
         content-length: 2\r\n\r\nok"
            .to_owned()
    });
    let text = format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache], upstream: app }}]\n"
    );
    let gateway = Gateway::start(&(to(&receiver, "") + &text));
    curl(&[&gateway.url("/a")]);
    receiver.spans_when(2);
    curl(&[&gateway.url("/a")]);
    let spans = receiver.spans_when(4);
    let [.., server, client] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (server.kind, server.get("wiregate.cache")),
        (SERVER, "stale")
    );
    assert_eq!((client.kind, &client.parent), (CLIENT, &server.id));
    assert_eq!(client.trace, server.trace);
    assert_eq!(span_in(&seen.last().join("\n")), client.id);
}

#[test]
fn an_endpoint_at_a_socket_or_over_http2_is_told_as_such() {
    let (receiver, origin) = (Receiver::start(), echo());
    let h2c = gateway(&receiver, origin.addresses(), ", protocol: h2c");
    let answer = curl(&[&h2c.url("/a")]);
    let spans = receiver.spans_when(2);
    assert_eq!(spans[1].get("network.protocol.version"), "2");
    let told = answer.json()["headers"]["traceparent"].clone();
    assert!(told.as_str().unwrap().contains(&spans[1].id), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        origin::head(&mut stream);
        stream.write_all(empty(204).as_bytes()).unwrap();
    });
    let path = path.display().to_string();
    let text = format!(
        "upstreams: {{ app: {{ endpoints: [\"unix:{path}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n"
    );
    let gateway = Gateway::start(&(to(&receiver, "") + &text));
    assert_eq!(curl(&[&gateway.url("/a?x=1")]).status, 204);
    let spans = receiver.spans_when(4);
    let client = &spans[3];
    assert_eq!(client.get("server.address"), path);
    assert_eq!(client.get("network.transport"), "unix");
    assert_eq!(client.get("server.port"), "");
    assert_eq!(client.get("url.full"), "http://localhost/a");
}
