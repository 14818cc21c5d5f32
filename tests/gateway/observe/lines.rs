//! The lines of the access log: what is in them, which requests have one, and where they go.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use super::super::harness::{Gateway, PATIENCE, complete, curl, echo, raw, until, upstream};
use super::super::origin::answers;

const ROUTES: &str = "routes:\n  \
    - { name: set, match: { path: /set }, filters: [respond: { status: 204, headers: { set-cookie: sid=SECRET; Path=/, x-own: own } }] }\n  \
    - { name: gone, match: { path: /gone }, filters: [respond: 410] }\n  \
    - { name: broken, match: { path: /broken }, filters: [respond: 503] }\n  \
    - { name: fine, match: { path: /fine/** }, filters: [respond: 204] }\n";

/// The configuration of a gateway with this access log; `FOLDER` stands for its folder.
fn configured(folder: &Path, access_log: &str, rest: &str) -> String {
    let text = complete(folder, rest, "{}");
    let line = text
        .lines()
        .find(|line| line.starts_with("access_log"))
        .unwrap();
    let access_log = access_log.replace("FOLDER", &folder.display().to_string());
    text.replace(line, &format!("access_log: {access_log}"))
}

fn start(access_log: &str, rest: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, configured(folder.path(), access_log, rest)).unwrap();
    Gateway::start_file(folder, &file)
}

/// The lines of the log as they are, once there are so many.
fn lines(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    until("the lines are there", || {
        let text = std::fs::read_to_string(gateway.file("access.log")).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    lines
}

#[test]
fn fields_come_from_both_heads_and_no_secret_is_among_them() {
    let gateway = start(
        // Relative to the configuration, wherever the process runs.
        "{ file: access.log, fields: [status, target, \
         { agent: 'request.headers[\"user-agent\"]' }, { auth: 'request.headers.authorization' }, \
         { cookies: 'request.headers.cookie' }, { set: 'response.headers[\"set-cookie\"]' }, \
         { own: 'response.headers[\"x-own\"]' }, { q: 'request.query.q' }, { missing: 'request.query.none' }, \
         { scheme: 'request.scheme + \"/\" + route' }] }",
        ROUTES,
    );
    let url = gateway.url("/set?q=1&api_key=SECRET&b=2");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let arguments = [
            version,
            "-A",
            "agent \"x\"\t\\",
            "-H",
            "authorization: Bearer SECRET",
            "-H",
            "cookie: a=SECRET; b=SECRET",
            &url,
        ];
        assert_eq!(curl(&arguments).status, 204);
    }
    for line in lines(&gateway, 2) {
        assert!(!line.contains("SECRET"), "{line}");
        let line: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "status": 204,
            "target": "/set?q=1&api_key=***&b=2",
            "agent": "agent \"x\"\t\\",
            "auth": "Bearer ***",
            "cookies": "a=***; b=***",
            "set": "sid=***; Path=/",
            "own": "own",
            "q": "1",
            "scheme": "http/set",
        });
        assert_eq!(line, expected);
    }
}

#[test]
fn heads_from_an_upstream_are_there_too() {
    let origin = echo();
    let routes = "routes: [{ name: all, filters: [headers: { response: { set: { x-own: own } } }], upstream: app }]\n";
    let gateway = start(
        "{ file: FOLDER/access.log, format: text, \
         fields: [status, { type: 'response.headers[\"content-type\"]' }, { own: 'response.headers[\"x-own\"]' }] }",
        &format!("{}{routes}", upstream(&origin)),
    );
    assert_eq!(curl(&[&gateway.url("/a")]).status, 200);
    assert_eq!(curl(&["-d", "body", &gateway.url("/a")]).status, 200);
    let http2 = ["--http2-prior-knowledge", &gateway.url("/a")];
    assert_eq!(curl(&http2).status, 200);
    for line in lines(&gateway, 3) {
        assert_eq!(line, "status=200 type=application/json own=own");
    }
}

#[test]
fn combined_lines_are_read_by_whoever_reads_those_of_nginx() {
    let gateway = start("{ file: FOLDER/access.log, format: combined }", ROUTES);
    let referer = "referer: https://a/?token=SECRET";
    curl(&["-A", "a \"b\"", "-H", referer, &gateway.url("/gone?x=1")]);
    lines(&gateway, 1); // each worker writes its own
    raw(gateway.address(), b"no request\r\n\r\n");
    let lines = lines(&gateway, 2);
    let rest = lines[0].split_once("] ").unwrap().1;
    let length = rest.split(' ').nth(4).unwrap();
    let expected = format!(
        "\"GET /gone?x=1 HTTP/1.1\" 410 {length} \"https://a/?token=***\" \"a \\x22b\\x22\""
    );
    assert_eq!(rest, expected);
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{}", lines[0]);
    assert!(
        lines[1].contains("\"no request HTTP/1.1\" 400 "),
        "{}",
        lines[1]
    );
}

#[test]
fn a_request_that_is_refused_as_none_has_what_was_read_of_its_line() {
    let gateway = start("{ file: FOLDER/access.log }", ROUTES);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(5000));
    let kept = format!("/{}", "x".repeat(2047));
    let endless = format!("GET /{} ", "y".repeat(40_000));
    for (sent, status, method, target) in [
        (
            &b"GET /a?token=SECRET&b=1 HTTP/1.1\r\n\r\n"[..],
            400,
            "GET",
            "/a",
        ),
        (
            b"GET http://ann:SECRET@x/y?key=SECRET HTTP/1.1\r\nhost: x\r\n\r\n",
            400,
            "GET",
            "http://***@x/y",
        ),
        (
            b"GET /a#access_token=SECRET HTTP/1.1\r\nhost: x\r\n\r\n",
            400,
            "GET",
            "/a",
        ),
        (
            b"POST /up HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "POST",
            "/up",
        ),
        (
            b"GET /a\x1b[2J\"\xff HTTP/1.1\r\nhost: x\r\n\r\n",
            400,
            "GET",
            "/a\u{1b}[2J\"\u{fffd}",
        ),
        (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", 505, "GET", "/"),
        (long.as_bytes(), 400, "GET", &kept),
        (
            endless.as_bytes(),
            414,
            "GET",
            &format!("/{}", "y".repeat(2047)),
        ),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "-", ""),
    ] {
        let before = std::fs::read_to_string(gateway.file("access.log")).unwrap_or_default();
        raw(gateway.address(), sent);
        let line = lines(&gateway, before.lines().count() + 1).pop().unwrap();
        assert!(
            !line.contains("SECRET") && !line.contains('\u{1b}'),
            "{line}"
        );
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["method"], method, "{line}");
        assert_eq!(line["target"].as_str().unwrap_or(""), target, "{line}");
    }
}

#[test]
fn of_a_sample_failures_have_lines_and_when_decides_before() {
    let gateway = start(
        "{ file: FOLDER/access.log, sample: { share: 0%, statuses: [410, 500-599] }, \
         when: 'request.path != \"/fine/quiet\" && request.headers[\"x-quiet\"] == \"\"' }",
        ROUTES,
    );
    for path in [
        "/fine/a",
        "/set",
        "/nowhere",
        "/gone",
        "/broken",
        "/fine/quiet",
    ] {
        curl(&[&gateway.url(path)]);
    }
    curl(&["-H", "x-quiet: 1", &gateway.url("/gone")]);
    // What is no request is drawn like others.
    raw(gateway.address(), b"no request\r\n\r\n");
    curl(&[&gateway.url("/broken?last")]);
    let log = gateway.access_log(3);
    let targets: Vec<_> = log.iter().map(|line| &line["target"]).collect();
    assert_eq!(targets, ["/gone", "/broken", "/broken?last"]);
    assert_eq!(gateway.metric("wiregate_access_log_dropped_total"), 0.0);
}

#[test]
fn a_reload_changes_the_lines_and_a_bad_one_does_not() {
    let gateway = start("{ file: FOLDER/access.log, fields: [status] }", ROUTES);
    let change = |access_log: &str| {
        let text = configured(gateway.folder(), access_log, ROUTES);
        std::fs::write(gateway.file("new"), text).unwrap();
        std::fs::rename(gateway.file("new"), gateway.file("wiregate.yaml")).unwrap();
        gateway.admin("POST", "/reload")
    };
    curl(&[&gateway.url("/gone")]);
    assert_eq!(lines(&gateway, 1), ["{\"status\":410}"]);
    let refused = change("{ file: FOLDER/access.log, fields: [statsu] }");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("statsu"), "{}", refused.text());
    curl(&[&gateway.url("/gone")]);
    assert_eq!(lines(&gateway, 2)[1], "{\"status\":410}");
    let changed = change("{ file: FOLDER/access.log, fields: [route, status], format: text }");
    assert_eq!(changed.status, 200, "{}", changed.text());
    curl(&[&gateway.url("/gone")]);
    assert_eq!(lines(&gateway, 3)[2], "route=gone status=410");
}

#[test]
fn a_reload_changes_the_lines_where_only_what_a_reference_holds_has_changed() {
    let name = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(name.path(), "one").unwrap();
    let path = name.path().display();
    let log = format!(
        "{{ file: FOLDER/access.log, fields: [target], redact: {{ query: [\"${{file:{path}}}\"] }} }}"
    );
    let gateway = start(&log, ROUTES);
    let target = gateway.url("/gone?one=1&two=2");
    curl(&[&target]);
    assert_eq!(lines(&gateway, 1), ["{\"target\":\"/gone?one=***&two=2\"}"]);
    std::fs::write(name.path(), "two").unwrap();
    assert_eq!(gateway.admin("POST", "/reload").status, 200);
    curl(&[&target]);
    assert_eq!(
        lines(&gateway, 2)[1],
        "{\"target\":\"/gone?one=1&two=***\"}"
    );
}

#[test]
fn over_http2_a_reload_changes_the_lines_of_what_is_under_way() {
    let origin = echo();
    let routes = "routes: [{ name: all, filters: [headers: { response: { set: { x-kind: slow } } }], upstream: app }]\n";
    let with = |fields: &str| {
        let folder = "FOLDER";
        format!(
            "access_log: {{ file: \"{folder}/access.log\", fields: [target{fields}] }}\n{}{routes}",
            upstream(&origin)
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let write = |gateway: &std::path::Path, fields: &str| {
        let at = gateway.display();
        let text = with(fields).replace("FOLDER", &at.to_string());
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\nadmin: {{ bind: \"unix:{at}/admin.sock\" }}\n{text}"
        );
        std::fs::write(gateway.join("wiregate.yaml"), text).unwrap();
    };
    write(folder.path(), "");
    let gateway = Gateway::start_file(folder, &file);
    std::thread::scope(|scope| {
        let url = gateway.url("/a?delay=2s");
        let asking = scope.spawn(move || curl(&["--http2-prior-knowledge", &url]).status);
        until("it is under way", || {
            gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}") == 1.0
        });
        write(gateway.folder(), ", kind: 'response.headers[\"x-kind\"]'");
        assert_eq!(gateway.admin("POST", "/reload").status, 200);
        assert_eq!(asking.join().unwrap(), 200);
    });
    assert_eq!(gateway.access_log(1)[0]["kind"], "slow");
}

#[test]
fn two_gateways_share_a_file_that_is_rotated_and_lose_nothing() {
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().join("access.log");
    let log = format!(
        "{{ file: {}, fields: [target], rotate: {{ size: 1MiB, keep: 100 }} }}",
        path.display()
    );
    let gateways = [start(&log, ROUTES), start(&log, ROUTES)];
    let padding = "x".repeat(1900);
    let count = 800;
    std::thread::scope(|scope| {
        for (number, gateway) in gateways.iter().enumerate() {
            let padding = &padding;
            scope.spawn(move || {
                let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for n in 0..count {
                    let head =
                        format!("GET /fine/{number}/{n}/{padding} HTTP/1.1\r\nhost: a\r\n\r\n");
                    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
                    }
                }
            });
        }
    });
    // Their ends write what is left: from then on nothing is renamed under the reader.
    for mut gateway in gateways {
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
    }
    let mut seen = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(shared.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        files += 1;
        seen.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(seen.len(), 2 * count);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2 * count);
    assert!((3..=6).contains(&files), "{files} files for 3 MiB");
}

#[test]
fn lines_go_to_a_receiver_on_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = start(
        &format!("{{ syslog: \"tcp://{address}\", fields: [status, route] }}"),
        ROUTES,
    );
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(curl(&[&gateway.url("/gone")]).status, 410);
    let mut message = Vec::new();
    let mut byte = [0];
    while !message.ends_with(b"}") {
        stream.read_exact(&mut byte).unwrap();
        message.push(byte[0]);
    }
    let message = String::from_utf8(message).unwrap();
    let (length, message) = message.split_once(' ').unwrap();
    assert_eq!(length, message.len().to_string());
    let line = message.split_once(" access - ").unwrap().1;
    assert_eq!(line, "{\"status\":410,\"route\":\"gone\"}");
    // Without a receiver everything goes on.
    drop((stream, listener));
    assert_eq!(curl(&[&gateway.url("/gone")]).status, 410);
}

/// Of a head that cannot be read, the log says what is wrong with it, and nothing that is in it.
#[test]
fn a_head_that_cannot_be_read_is_in_no_log() {
    let address = answers(|_| {
        "HTTP/1.1 200 OK\r\nset-cookie: sid=SECRET; HttpOnly\r\nx(trace: 1\r\n\r\n".to_owned()
    });
    for filters in ["[]", "[cache: {}]"] {
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
             routes: [{{ name: all, filters: {filters}, upstream: app }}]\n"
        ));
        assert_eq!(curl(&[&gateway.url("/")]).status, 502);
        let line = &gateway.access_log(1)[0];
        let detail = line["detail"].as_str().unwrap();
        assert!(
            detail.ends_with("cannot be read: invalid header name"),
            "{detail}"
        );
        let log = gateway.log();
        assert!(
            !log.contains("SECRET") && !line.to_string().contains("SECRET"),
            "{log}"
        );
    }
}
