//! What comes into the store, or is looked for there by an exchange, leaves as another exchange would give it.

use super::*;

#[test]
fn the_first_to_ask_gets_what_an_exchange_gives_as_it_is_stored() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=600 | etag: \"e\" | x-own: 1 | x-request-id: theirs | via: 1.0 other | x-own: 2 \
                  | surrogate-key: tenant | cache-status: other; fwd=miss | server: o";
    origin.answers_with("/a", 200, &format!("{fields} | age: 3"), "the answer");
    origin.answers_with("/gone", 404, fields, "gone");
    origin.answers_with("/none", 200, fields, "");
    origin.answers_with("/empty", 204, fields, "");
    let own = "cache-control: no-store | surrogate-key: tenant";
    origin.answers_with("/own", 200, own, "own");
    origin.answers_with("/long", 200, fields, &"x".repeat(10_000));
    for options in ["{}", "{ tags: surrogate-key, cache_status: false }"] {
        let gateway = Gateway::start(&both_ways(&origin, options));
        for (path, as_stored) in [
            ("/a", true),
            ("/gone", true),
            ("/none", true),
            ("/empty", false),
            ("/own", false),
            ("/long", false),
        ] {
            let request = with("").replace("/a", path);
            let (short, long) = ask_both(&gateway, &request);
            assert!(!short.is_hit() && !long.is_hit(), "{path} {short:?}");
            assert_eq!(short.same(), long.same(), "{path}");
            let shows = short.field("surrogate-key").is_some();
            assert_eq!(shows, options == "{}", "{path} {short:?}");
            let is_last = |got: &Got| got.at("content-length") > got.at("date");
            assert_eq!(
                (is_last(&short), is_last(&long)),
                (as_stored, false),
                "{path} {short:?}"
            );
        }
        // It goes on over the same connection, and ends with the request that ends it.
        let mut open = connect(&gateway);
        for path in ["/a?1", "/a?2"] {
            let request = with("").replace("/a", path).replace("{s}", "s");
            let got = Got::ask(&mut open, &request);
            assert!(got.field("connection").is_none(), "{got:?}");
        }
        let last = with("Connection: close\r\n").replace("{s}", "s");
        assert_eq!(
            Got::ask(&mut open, &last).field("connection"),
            Some("close")
        );
    }
}

/// Requests that have something special, each as its lines.
const ODD: [&str; 40] = [
    "",
    "User-Agent: a\r\nAccept: */*\r\n",
    "Cookie: a=1\r\n",
    "Authorization: Basic YTpi\r\n",
    "Proxy-Authorization: Basic YTpi\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "Keep-Alive: timeout=5\r\n",
    "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
    "Connection: Keep-Alive\r\nConnection: keep-alive\r\n",
    "Connection: keep-alive, keep-alive\r\n",
    "Connection: x-own\r\nX-Own: 1\r\n",
    "Connection: \r\n",
    "Content-Length: 0\r\n",
    "Cache-Control: no-cache\r\n",
    "Cache-Control: no-store\r\n",
    "Cache-Control: only-if-cached\r\n",
    "Pragma: no-cache\r\n",
    "Range: bytes=1-2\r\n",
    "If-None-Match: \"e\"\r\n",
    "If-Match: \"e\"\r\n",
    "If-Unmodified-Since: Sun, 06 Nov 2050 08:49:37 GMT\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "TE: trailers\r\nConnection: te\r\n",
    "Trailer: a\r\n",
    "Upgrade: h2c\r\n",
    "Upgrade: websocket\r\nConnection: upgrade\r\n",
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "grpc-timeout: never\r\nContent-Type: application/grpc\r\n",
    "Content-Type: application/grpc\r\n",
    "Via: 1.1 a\r\n",
    "Max-Forwards: 0\r\n",
    "X-Forwarded-For: 1.2.3.4\r\n",
    "Forwarded: for=1.2.3.4\r\n",
    "X-Real-IP: 1.2.3.4\r\n",
    "x_real_ip: 1.2.3.4\r\n",
    "X-Request-Id: mine\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n",
    "Transfer-Encoding: identity\r\n",
    "Date: Sun, 06 Nov 2050 08:49:37 GMT\r\nAge: 3\r\n",
];

/// What a client gets, and what the origin is asked for: each request's lines, whatever their order.
fn asked(gateway: &Gateway, origin: &Origin, request: &str) -> (Got, Vec<Vec<String>>) {
    let before = origin.count();
    let got = Got::ask(&mut connect(gateway), request).same();
    let seen = origin.seen.lock().unwrap();
    let heads = seen[before..].iter().map(|head| {
        let head = head.replace("l.example", "s.example");
        let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    });
    (got, heads.collect())
}

#[test]
fn a_miss_asks_for_and_gives_what_an_exchange_would() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=600, public | etag: \"e\" | x-own: 1 \
                  | last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    for (number, lines) in ODD.iter().enumerate() {
        let path = format!("/a?{number}");
        origin.answers_with(&path, 200, fields, "the answer");
        let request = with(lines).replace("/a", &path);
        let [short, long] =
            ["s", "l"].map(|host| asked(&gateway, &origin, &request.replace("{s}", host)));
        assert_eq!(short, long, "{lines}");
    }
}

#[test]
fn a_route_without_a_cache_takes_a_request_alike_beside_one_that_has_one() {
    let origin = Origin::start();
    let beside = both_ways(&origin, "{}").replacen("filters: [cache: {}], ", "", 1)
        + "- { name: third, match: { host: t.example }, filters: [cache: {}], upstream: app }\n";
    let alone = beside.replace("cache: {}", "ip: { allow: 127.0.0.0/8 }");
    let (beside, alone) = (Gateway::start(&beside), Gateway::start(&alone));
    for (number, lines) in ODD.iter().enumerate() {
        let path = format!("/a?{number}");
        origin.answers_with(&path, 200, "x: 1", "the answer");
        let request = with(lines).replace("/a", &path).replace("{s}", "s");
        let known = asked(&beside, &origin, &request);
        assert_eq!(known, asked(&alone, &origin, &request), "{lines}");
    }
}

#[test]
fn what_was_validated_or_stands_in_for_a_failure_leaves_as_an_exchange_gives_it() {
    let origin = Origin::start();
    let fields = "etag: \"e\" | x-own: 1 | via: 1.0 other | x-own: 2 | surrogate-key: tenant | server: o | age: 7";
    let checked = format!("cache-control: no-cache | {fields}");
    let failing = format!("cache-control: max-age=1, stale-if-error=600 | age: 100 | {fields}");
    let gateway = Gateway::start(&both_ways(&origin, "{ tags: surrogate-key }"));
    let ask = |path: &str| ask_both(&gateway, &with("").replace("/a", path));
    origin.answers_with("/checked", 200, &checked, "the answer");
    origin.answers_with("/failing", 200, &failing, "the answer");
    let mut all = vec![("/checked", ask("/checked")), ("/failing", ask("/failing"))];
    origin.answers_with(
        "/checked",
        304,
        "cache-control: no-cache | x-own: 3 | etag: \"e\" | connection: x-hop | x-hop: 1",
        "",
    );
    origin.answers_with("/failing", 503, "", "it fails");
    for _ in 0..3 {
        all.push(("/checked", ask("/checked")));
        all.push(("/failing", ask("/failing")));
    }
    origin.answers_with(
        "/checked",
        304,
        "cache-control: max-age=60 | x-own: 4 | etag: \"e\" | age: 9",
        "",
    );
    for _ in 0..3 {
        all.push(("/checked", ask("/checked")));
    }
    let mut ids = Vec::new();
    for (path, (short, long)) in &all {
        assert_eq!(short.same(), long.same(), "{path}");
        assert_eq!(
            (&*short.line, &*short.body),
            ("HTTP/1.1 200 OK", "the answer"),
            "{path}"
        );
        ids.push((
            short.field("x-request-id").unwrap(),
            long.field("x-request-id").unwrap(),
        ));
    }
    let lines = gateway.access_log(2 * all.len());
    for (short, long) in ids {
        let line = |id: &str| {
            let own = lines.iter().find(|line| line["request_id"] == id).unwrap();
            let mut line = own.as_object().unwrap().clone();
            for name in [
                "time",
                "request_id",
                "duration_ms",
                "upstream_ms",
                "route",
                "host",
            ] {
                line.remove(name);
            }
            line
        };
        assert_eq!(line(short), line(long));
    }
}

#[test]
fn what_comes_together_is_answered_in_its_order() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=600 | x: 1";
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    let odd = [
        "",
        "Range: bytes=0-0\r\n",
        "If-None-Match: *\r\n",
        "Cookie: a\r\n",
    ];
    let mut requests = String::new();
    let mut expected = Vec::new();
    for number in 0..120 {
        let at = number % 40;
        let path = format!("/a?{at}");
        let body = match at % 5 {
            0 => String::new(),
            1 => "x".repeat(70_000),
            _ => format!("body of {at}"),
        };
        origin.answers_with(&path, 200, fields, &body);
        let lines = odd[number % 7 % odd.len()];
        requests += &with(lines).replace("/a", &path).replace("{s}", "s");
        expected.push((lines, body));
    }
    let mut stream = connect(&gateway);
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(requests.as_bytes()).unwrap());
    for (lines, body) in expected {
        let got = Got::ask(&mut stream, "");
        match got.line.split(' ').nth(1).unwrap() {
            "200" => assert_eq!(got.body, body, "{lines} {:?}", got.fields),
            "206" => assert_eq!(got.body, body[..1], "{lines}"),
            "304" => assert!(got.body.is_empty()),
            "416" => assert!(body.is_empty() && lines.starts_with("Range")),
            _ => panic!("{got:?}"),
        }
    }
    sending.join().unwrap();
}
