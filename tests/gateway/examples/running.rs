//! Each example with requests, between peers in the place of those that it names.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::super::filters::saw;
use super::super::harness::{Answer, Gateway, curl, echo};
use super::super::issuer::{Issuer, Key};
use super::super::origin;
use super::super::redis::Server;
use super::folder;

/// An example with these words in the place of others. Each of them must be there.
fn example(name: &str, replaced: &[(&str, &str)]) -> Gateway {
    let mut text = std::fs::read_to_string(folder().join(name)).unwrap();
    let own = (
        "version: 1\nlisteners:\n  public: { bind: \"0.0.0.0:8080\" }\n",
        "",
    );
    for (from, to) in [own].iter().chain(replaced) {
        assert!(text.contains(from), "{from} is not in {name}");
        text = text.replace(from, to);
    }
    Gateway::start(&text)
}

fn ask(gateway: &Gateway, path: &str, fields: &[&str]) -> Answer {
    let url = gateway.url(path);
    let mut arguments = vec![url.as_str()];
    for field in fields {
        arguments.extend(["-H", field]);
    }
    curl(&arguments)
}

#[test]
fn limits_hold_by_plan_and_by_address() {
    let (redis, api) = (Server::Redis.start(), echo());
    // However busy the machine is.
    let store = format!(
        "{{ redis: {{ at: \"redis://127.0.0.1:{}\", deadline: 10s }} }}",
        redis.port
    );
    let gateway = example(
        "rate-limit.yaml",
        &[
            ("{ redis: \"redis://10.0.0.5:6379\" }", &store),
            ("10.0.0.1:8080", &api.addresses()[0].to_string()),
        ],
    );
    let with = |key: &str, path: &str| ask(&gateway, path, &[&format!("x-api-key: {key}")]);
    let acme = with("acme-demo-key-0123456789", "/api/a");
    assert_eq!(acme.status, 200, "{}", acme.text());
    assert!(acme.header("ratelimit-policy").contains("q=20000;w=3600"));
    // The report costs ten, the request before it was one.
    let report = with("acme-demo-key-0123456789", "/api/reports/1");
    let left: u32 = report.header("x-ratelimit-remaining").parse().unwrap();
    assert!((39..45).contains(&left), "{left}");
    let free = |path| with("initech-demo-key-0123456789", path).status;
    assert_eq!(free("/api/reports/1"), 429);
    assert_eq!([free("/api/a"), free("/api/b")], [200, 200]);
    assert_eq!(ask(&gateway, "/api/a", &[]).status, 401);
    let login = || {
        let url = gateway.url("/login");
        curl(&["-X", "POST", &url]).status
    };
    let all: Vec<u16> = (0..6).map(|_| login()).collect();
    assert_eq!(all, [200, 200, 200, 200, 200, 429]);
}

/// Answers with its path, tags, and how many requests came before.
fn shop() -> SocketAddr {
    let count = std::sync::atomic::AtomicU32::new(0);
    origin::answers(move |head| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let body = format!("page {number}");
        let length = body.len();
        let tags = if head.contains("/shoes/7 ") {
            "cache-tag: shoes, shoe-7\r\n"
        } else {
            ""
        };
        format!("HTTP/1.1 200 OK\r\n{tags}content-length: {length}\r\n\r\n{body}")
    })
}

#[test]
fn pages_are_shared_purged_by_tag_and_ones_own_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = example(
        "cache.yaml",
        &[
            ("10.0.0.1:8080", &shop().to_string()),
            ("/var/cache/wiregate/pages", folder.path().to_str().unwrap()),
            ("20GiB", "64MiB"),
        ],
    );
    let host = "host: shop.example.com";
    let page = |path: &str, fields: &[&str]| ask(&gateway, path, &[&[host], fields].concat());
    let first = page("/shoes/7", &[]);
    assert!(
        first.header("cache-status").contains("; stored"),
        "{first:?}"
    );
    assert_eq!(first.header("cache-tag"), "");
    assert_eq!(page("/shoes/7", &[]).text(), first.text());
    assert_ne!(
        page("/shoes/7", &["accept-language: de"]).text(),
        first.text()
    );
    let own = page("/shoes/7", &["cookie: session=1"]);
    assert!(own.header("cache-status").is_empty() && own.text() != first.text());
    let other = page("/shoes/8", &[]);
    let purged = gateway.admin("POST", "/caches/purge?tag=shoe-7");
    assert_eq!(purged.json()["purged"], 2);
    assert_ne!(page("/shoes/7", &[]).text(), first.text());
    assert_eq!(page("/shoes/8", &[]).text(), other.text());
    let partner = || page("/partners/a", &["x-api-key: acme-demo-key-0123456789"]);
    assert_eq!(partner().text(), partner().text());
    assert_eq!(page("/partners/a", &[]).status, 401);
}

/// Answers with what it was sent where that is an order, and with items otherwise.
fn orders() -> SocketAddr {
    const ITEMS: &str = r#"{"order_no":7,"data":{"links":["/a"]},"debug":1,"items":[{"price":2,"cost":1},{"price":3}]}"#;
    origin::serve(|_, mut stream| {
        use std::io::{Read, Write};
        while let Some(head) = origin::head(&mut stream) {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1);
            let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if head.starts_with("POST /invoices") {
                422
            } else {
                200
            };
            let text = String::from_utf8(body).unwrap();
            let body = if length > 0 && status == 200 {
                &text
            } else {
                ITEMS
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\nx-saw: {}\r\n\
                 content-length: {length}\r\n\r\n{body}",
                text.replace('\n', " ")
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn bodies_are_changed_both_ways() {
    let gateway = example("json.yaml", &[("10.0.0.1:8080", &orders().to_string())]);
    let answer = ask(&gateway, "/orders/7", &[]).json();
    let expected = json!({
        "id": 7, "data": {}, "links": ["/a"], "items": [{ "price": 2 }, { "price": 3 }],
    });
    assert_eq!(answer, expected);
    let summary = ask(&gateway, "/summary/acme", &[]).json();
    let expected = json!({ "customer": "acme", "count": 2, "total": 5 });
    assert_eq!(summary, expected);
    let send = |path: &str, body: &str| {
        let url = gateway.url(path);
        curl(&["-H", "content-type: application/json", "-d", body, &url])
    };
    let sent = send(
        "/orders/",
        r#"{"is_admin":true,"items":[{"id":1,"discount":9}]}"#,
    );
    let saw: Value = serde_json::from_str(sent.header("x-saw")).unwrap();
    assert_eq!(saw["items"], json!([{ "id": 1 }]));
    assert!(saw.get("is_admin").is_none() && saw["source"] == "api");
    assert_eq!(saw["trace"]["id"], sent.header("x-request-id"));
    let invoice = send("/invoices", r#"{"customer":"A & B","items":[{"id":1}]}"#);
    assert_eq!(invoice.status, 422);
    assert_eq!(
        invoice.header("x-saw"),
        r#"<invoice for="A &amp; B"><item id="1"/></invoice>"#
    );
    assert_eq!(invoice.json()["error"]["status"], 422);
}

#[test]
fn partners_and_people_bring_tokens() {
    let (issuer, key, api) = (Issuer::start(), Key::new("k1"), echo());
    issuer.publish(&[&key]);
    let gateway = example(
        "jwt.yaml",
        &[
            ("https://id.example.com", &issuer.url),
            ("10.0.0.1:8080", &api.addresses()[0].to_string()),
        ],
    );
    let with = |path: &str, key: &Key, claims: Value| {
        let token = key.token(&issuer.url, &claims);
        ask(&gateway, path, &[&format!("authorization: Bearer {token}")])
    };
    let partner = |client: &str| {
        let claims = json!({ "client_id": client, "scope": "orders:read mail" });
        with("/orders/7", &key, claims)
    };
    for (client, name, plan) in [
        ("acme-backend", "acme", "gold"),
        ("initech-app", "initech", "free"),
    ] {
        let answer = partner(client);
        let fields = ["x-partner", "x-plan", "x-scopes"].map(|field| saw(&answer, field));
        assert_eq!(fields, [name, plan, "orders:read,mail"]);
        assert!(answer.header("ratelimit-policy").contains("q=600;w=60"));
        assert_eq!(saw(&answer, "authorization"), Value::Null);
    }
    assert_eq!(partner("somebody").status, 403);
    assert_eq!(ask(&gateway, "/orders/7", &[]).status, 401);
    let forged = json!({ "client_id": "acme-backend" });
    assert_eq!(
        with("/orders/7", &Key::new("k1"), forged.clone()).status,
        401
    );
    let other = json!({ "client_id": "acme-backend", "aud": "backoffice" });
    assert_eq!(with("/orders/7", &key, other).status, 401);
    let staff = |role: &str| {
        let roles = json!({ "aud": "backoffice", "realm_access": { "roles": [role] } });
        with("/backoffice/", &key, roles).status
    };
    assert_eq!([staff("operations"), staff("sales")], [200, 403]);
    assert_eq!(with("/backoffice/", &key, forged).status, 403);
}
