//! Configurations of the cache, and what outlives them.

use std::io::Read;
use std::net::TcpStream;

use super::super::harness::{PATIENCE, until, wiregate};
use super::*;

#[test]
fn what_is_stored_survives_a_reload() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    gateway.reload(&origin.configuration("{ ttl: 5s }"));
    assert!(told(&get(&gateway, "/a", &[])).1);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_store_with_other_options_is_another_one() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let with = |memory: &str| {
        let caches = format!("caches: {{ big: {{ memory: {memory} }} }}\n");
        caches + &origin.configuration("{ store: big }")
    };
    let gateway = Gateway::start(&with("16MiB"));
    get(&gateway, "/a", &[]);
    gateway.reload(&with("16MiB"));
    assert!(told(&get(&gateway, "/a", &[])).1);
    gateway.reload(&with("32MiB"));
    assert!(!told(&get(&gateway, "/a", &[])).1);
}

#[test]
fn what_was_stored_before_a_field_had_tags_is_given_without_it() {
    let origin = Origin::start();
    let paths = [("/small", 10), ("/large", 10_000)];
    for (path, length) in paths {
        let fields = "cache-control: max-age=600 | cache-tag: customer-ann";
        origin.answers_with(path, 200, fields, &"x".repeat(length));
    }
    let with = |options: &str| {
        "caches: { c: { memory: 16MiB } }\n".to_owned() + &origin.configuration(options)
    };
    let gateway = Gateway::start(&with("{ store: c }"));
    for (path, _) in paths {
        let answer = get(&gateway, path, &[]);
        assert_eq!(answer.header("cache-tag"), "customer-ann", "{path}");
    }
    gateway.reload(&with("{ store: c, tags: cache-tag }"));
    for (path, length) in paths {
        let answer = get(&gateway, path, &[]);
        let got = (
            told(&answer).1,
            answer.header("cache-tag"),
            answer.body.len(),
        );
        assert_eq!(got, (true, "", length), "{path}");
    }
}

/// A configuration with a disk in this folder.
pub(super) fn on_disk(origin: &Origin, folder: &std::path::Path) -> String {
    with_size(origin, folder, "64MiB")
}

fn with_size(origin: &Origin, folder: &std::path::Path, size: &str) -> String {
    let path = folder.display();
    format!("caches: {{ d: {{ memory: 16MiB, disk: {{ path: \"{path}\", size: {size} }} }} }}\n")
        + &origin.configuration("{ store: d, tags: cache-tag }")
}

fn is_there(gateway: &Gateway, path: &str) -> bool {
    let fields = ["host: example.com", "cache-control: only-if-cached"];
    get(gateway, path, &fields).status == 200
}

#[test]
fn a_disk_keeps_what_is_stored_when_the_process_is_killed() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    for path in ["/a", "/b"] {
        let fields = format!("cache-control: max-age=600 | cache-tag: t{}", &path[1..]);
        origin.answers_with(path, 200, &fields, &"x".repeat(5_000));
    }
    let gateway = Gateway::start(&on_disk(&origin, folder.path()));
    for path in ["/a", "/b"] {
        get(&gateway, path, &["host: example.com"]);
    }
    let on_disk_now = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("both are written", || on_disk_now().unwrap() > 10_000);
    let purged = gateway.admin("POST", "/caches/purge?tag=tb");
    assert_eq!(purged.json()["purged"], 1);
    // Another process cannot have the folder meanwhile, and says so.
    let second = tempfile::tempdir().unwrap();
    let file = second.path().join("wiregate.yaml");
    let text =
        super::super::harness::complete(second.path(), &on_disk(&origin, folder.path()), "{}");
    std::fs::write(&file, text).unwrap();
    let refused = wiregate(&["run", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("the cache `d` cannot be opened"),
        "{said}"
    );
    drop(gateway); // killed
    let gateway = Gateway::start(&on_disk(&origin, folder.path()));
    until("what was stored is found", || is_there(&gateway, "/a"));
    assert!(!is_there(&gateway, "/b"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_disk_goes_over_to_the_process_that_takes_the_place_of_another() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let fields = "cache-control: max-age=600 | etag: \"1\"";
    origin.answers_with("/a", 200, fields, &"x".repeat(5_000));
    let gateway = Gateway::start(&on_disk(&origin, folder.path()));
    get(&gateway, "/a", &["host: example.com"]);
    let disk = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("it is written", || disk().unwrap() > 5_000);
    // The process before is not gone: it has a connection whose client may go on.
    let mut kept = crate::peers::Client::new(&gateway);
    assert_eq!(kept.get("/a", &[]).status, 200);
    let old = crate::upgrade::Process(gateway.pid()).keep();
    let new = crate::upgrade::upgrade(&gateway, &[]).unwrap();
    assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
    // What was stored is there, and as fresh as it was.
    until("it is found", || is_there(&gateway, "/a"));
    let answer = get(&gateway, "/a", &["host: example.com"]);
    assert!(did(&answer).contains("hit"), "{}", did(&answer));
    assert_eq!(origin.count(), 2);
    assert!(disk().unwrap() > 5_000);
    // And so is what the next one stores.
    origin.answers_with("/b", 200, fields, &"y".repeat(5_000));
    get(&gateway, "/b", &["host: example.com"]);
    until("it is written", || disk().unwrap() > 10_000);
    let _newest = crate::upgrade::upgrade(&gateway, &[]).unwrap();
    for path in ["/a", "/b"] {
        until("it is found", || is_there(&gateway, path));
    }
    assert!(old.runs());
    // What the first one has in memory, it still has.
    assert!(kept.get("/a", &[]).header("cache-status").contains("hit"));
    assert_eq!(origin.count(), 3);
    drop((kept, new));
}

#[test]
fn what_requests_change_by_way_of_a_process_that_finishes_is_gone_in_the_newest_one() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let fields = "cache-control: max-age=600";
    for memory_alone in [false, true] {
        for path in ["/a", "/b"] {
            origin.answers_with(path, 200, fields, &"x".repeat(5_000));
        }
        let text = match memory_alone {
            true => origin.configuration("{}"),
            false => on_disk(&origin, folder.path()),
        };
        let gateway = Gateway::start(&text);
        for path in ["/a", "/b"] {
            crate::peers::Client::new(&gateway).get(path, &[]);
        }
        // A client of the first process goes on after two upgrades.
        let mut kept = TcpStream::connect(gateway.address()).unwrap();
        kept.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(&mut kept, "GET");
        let _second = crate::upgrade::upgrade(&gateway, &[]).unwrap();
        let _third = crate::upgrade::upgrade(&gateway, &[]).unwrap();
        let did = |path: &str| {
            let got = crate::peers::Client::new(&gateway).get(path, &[]);
            got.header("cache-status").to_owned()
        };
        for path in ["/a", "/b"] {
            until("it is stored there", || did(path).contains("hit"));
        }
        exchange(&mut kept, "POST");
        until("what was changed is fetched anew", || {
            !did("/a").contains("hit")
        });
        assert!(did("/a").contains("hit"));
        assert!(did("/b").contains("hit"), "nothing else is");
        assert!(
            !gateway.log().contains("does not hear"),
            "{}",
            gateway.log()
        );
    }
}

#[test]
fn what_the_oldest_changes_is_gone_in_the_newest_though_the_one_between_was_killed() {
    let origin = Origin::start();
    for path in ["/a", "/b"] {
        origin.answers_with(path, 200, "cache-control: max-age=600", &"x".repeat(5_000));
    }
    let gateway = Gateway::start(&origin.configuration("{}"));
    for path in ["/a", "/b"] {
        crate::peers::Client::new(&gateway).get(path, &[]);
    }
    let mut kept = TcpStream::connect(gateway.address()).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut kept, "GET");
    let is_there = |path: &str| {
        let mut client = crate::peers::Client::new(&gateway);
        client.get(path, &["cache-control: only-if-cached"]).status == 200
    };
    let second = crate::upgrade::upgrade(&gateway, &[]).unwrap();
    let _third = crate::upgrade::upgrade(&gateway, &[]).unwrap();
    assert!(is_there("/a"));
    second.signal("KILL");
    until("it is gone", || !second.runs());
    exchange(&mut kept, "POST");
    until("what was changed is gone", || !is_there("/a"));
    assert!(is_there("/b"), "nothing else is");
}

/// A request for `/a` on a connection that stays open.
fn exchange(stream: &mut TcpStream, method: &str) {
    let head = format!("{method} /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(&[b'x'; 5_000]) {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    assert!(read.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_disk_goes_over_to_a_store_of_another_size() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let fields = "cache-control: max-age=600 | etag: \"1\"";
    origin.answers_with("/a", 200, fields, &"x".repeat(5_000));
    let gateway = Gateway::start(&with_size(&origin, folder.path(), "64MiB"));
    get(&gateway, "/a", &["host: example.com"]);
    let disk = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("it is written", || disk().unwrap() > 5_000);
    gateway.reload(&with_size(&origin, folder.path(), "128MiB"));
    until("the folder has gone over", || {
        gateway.log().contains("the cache has its folder") && disk().unwrap() > 5_000
    });
    let answer = get(&gateway, "/a", &["host: example.com"]);
    assert!(did(&answer).contains("fwd=stale"), "{}", did(&answer));
    assert!(told(&get(&gateway, "/a", &["host: example.com"])).1);
}

#[test]
fn what_requests_change_while_a_disk_goes_over_is_gone_and_nothing_else() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let fields = "cache-control: max-age=600 | etag: \"1\"";
    for path in ["/a", "/b"] {
        origin.answers_with(path, 200, fields, &"x".repeat(5_000));
    }
    // An endpoint that takes its time.
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let holding = origin::serve(move |_, mut stream| {
        if origin::head(&mut stream).is_some() {
            let _ = arrived.send(());
            let _ = goes.lock().unwrap().recv();
            let _ = stream.write_all(origin::empty(200).as_bytes());
        }
    });
    let configuration = |size: &str| {
        let path = folder.path().display();
        format!(
            "caches: {{ d: {{ memory: 16MiB, disk: {{ path: \"{path}\", size: {size} }} }} }}\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"] }}, held: {{ endpoints: [\"{holding}\"] }} }}\n\
             routes:\n- {{ name: held, match: {{ path: /held }}, upstream: held }}\n\
             - {{ name: all, filters: [cache: {{ store: d }}], upstream: app }}\n",
            origin.address
        )
    };
    let gateway = Gateway::start(&configuration("64MiB"));
    for path in ["/a", "/b"] {
        get(&gateway, path, &["host: example.com"]);
    }
    let disk = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("both are written", || disk().unwrap() > 10_000);
    // The former store keeps its folder for as long as a request of its time goes on.
    let held = gateway.url("/held");
    let held = std::thread::spawn(move || curl(&[&held]));
    arrivals.recv().unwrap();
    gateway.reload(&configuration("128MiB"));
    let url = gateway.url("/a");
    let posted = curl(&["-X", "POST", "-H", "host: example.com", &url]);
    assert_eq!(posted.status, 200);
    assert_eq!(disk(), Some(0), "the memory stands alone");
    go.send(()).unwrap();
    assert_eq!(held.join().unwrap().status, 200);
    until("the folder has gone over", || {
        gateway.log().contains("the cache has its folder") && disk().unwrap() > 5_000
    });
    let entries = || gateway.admin("GET", "/caches").json()["caches"]["d"]["entries"].as_u64();
    until("what is there is found", || entries() == Some(1));
    let other = get(&gateway, "/b", &["host: example.com"]);
    assert!(did(&other).contains("fwd=stale"), "{}", did(&other));
    let changed = get(&gateway, "/a", &["host: example.com"]);
    assert!(did(&changed).contains("fwd=uri-miss"), "{}", did(&changed));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let check = |rest: &str| {
        let head = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\n";
        std::fs::write(&file, format!("{head}{rest}")).unwrap();
        let output = wiregate(&["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let said = check(
        "caches: { one: { memory: 1KiB }, two: { largest: 1GiB } }\n\
         routes: [{ name: all, filters: [cache: { store: default }, respond: hello] }]\n",
    );
    for expected in [
        ":3:26",
        "expected at least 1MiB, found 1KiB",
        "a body of 1GiB does not fit into 64MiB of memory",
        "there is no store `default` under `caches`; there is `one`, `two`",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let said = check(
        "caches:\n  one: { disk: { path: /tmp/x, size: 1GiB } }\n  two: { disk: { path: /tmp/x/, size: 1GiB } }\n\
         routes: [{ name: all, filters: [respond: hello] }]\n",
    );
    assert!(said.contains("another cache has this folder"), "{said}");
}
