//! The marks of the process's memory.

use std::io::Read;
use std::net::TcpStream;

use crate::harness::{Gateway, PATIENCE, complete, curl, until, wiregate};

const ROUTES: &str = "routes: [{ name: all, filters: [respond: 200] }, \
                      { name: health, match: { path: /healthz }, filters: [respond: 200] }]\n";

fn limits(memory: &str) -> String {
    format!("limits: {{ memory: {memory}, never_shed: [/healthz] }}\n{ROUTES}")
}

fn until_level(gateway: &Gateway, level: f64) {
    until("the memory is looked at", || {
        gateway.metric("wiregate_memory_level") == level
    });
}

#[test]
fn beyond_the_soft_mark_requests_are_shed_and_below_they_are_not() {
    // The process takes more than 1 MB, and less than 10 GB.
    let gateway = Gateway::start(&limits("{ limit: 10GB, soft: 0.01%, hard: 99% }"));
    until_level(&gateway, 1.0);
    assert_eq!(gateway.metric("wiregate_memory_limit_bytes"), 10e9);
    let shed = curl(&[&gateway.url("/")]);
    assert_eq!(shed.status, 503);
    let detail = &shed.json()["detail"];
    assert_eq!(detail, "the process takes as much memory as it may");
    assert_eq!(curl(&[&gateway.url("/healthz")]).status, 200);
    let ready = gateway.admin("GET", "/readyz?verbose");
    assert_eq!(
        (ready.status, &ready.json()["memory"]),
        (200, &"soft".into())
    );
    gateway.tells("memory is beyond its soft mark");
    assert_eq!(
        gateway.metric("wiregate_requests_shed_total{reason=\"memory\"}"),
        1.0
    );

    gateway.reload(&limits("{ limit: 10GB }"));
    until_level(&gateway, 0.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    gateway.tells("memory is below its marks again");
}

#[test]
fn beyond_the_hard_mark_connections_are_closed() {
    let gateway = Gateway::start(&limits("{ limit: 1MiB }"));
    until_level(&gateway, 2.0);
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said); // closed, or reset
    assert!(said.is_empty());
    let refused = "wiregate_connections_refused_total{listener=\"public\",reason=\"memory\"}";
    assert!(gateway.metric(refused) >= 1.0);
    assert_eq!(gateway.admin("GET", "/livez").status, 200);

    gateway.reload(&limits("off"));
    until_level(&gateway, 0.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn what_may_take_more_than_the_soft_mark_is_told_at_load() {
    let with = |memory: &str| {
        format!(
            "limits: {{ body_memory: 256MiB, memory: {memory} }}\ncaches: {{ pages: {{ memory: 512MiB }} }}\n\
             routes: [{{ name: all, filters: [cache: {{ store: pages }}, respond: 200] }}]\n"
        )
    };
    let warning = "`limits.body_memory` (256MiB) and the memory of caches (512MiB) may take 768MiB together, \
                   more than 500MiB, the soft mark of memory (50% of 1000MiB): beyond it requests get a 503";
    let (much, enough) = (
        with("{ limit: 1000MiB, soft: 50% }"),
        with("{ limit: 1GiB, soft: 80% }"),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let check = |text: &str| {
        std::fs::write(&file, complete(folder.path(), text, "{}")).unwrap();
        let said = wiregate(&["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(said.status.success());
        String::from_utf8(said.stderr).unwrap()
    };
    assert_eq!(check(&much), format!("wiregate: warning: {warning}\n"));
    for text in [&enough, &with("off")] {
        assert_eq!(check(text), "");
    }
    // Told at the start, and when a reload makes it so.
    let gateway = Gateway::start(&much);
    gateway.tells(warning);
    let told = || gateway.log().matches(warning).count();
    assert_eq!(told(), 1, "{}", gateway.log());
    gateway.reload(&format!("{much}# touched\n"));
    gateway.reload(&enough);
    assert_eq!(told(), 1);
    gateway.reload(&much);
    assert_eq!(told(), 2);
}
