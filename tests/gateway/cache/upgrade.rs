//! What is stored in memory goes over to the process that takes the place of another.

use std::process::Command;
use std::thread;

use super::super::harness::{complete, until};
use super::*;
use crate::upgrade::faults::new_process;
use crate::upgrade::{exchange, exchange_as, exchangeable, upgrade};

/// Only from what is stored.
const STORED: [&str; 1] = ["cache-control: only-if-cached"];

fn is_there(gateway: &Gateway, path: &str) -> bool {
    get(gateway, path, &STORED).status == 200
}

fn store(gateway: &Gateway, path: &str) {
    assert!(!told(&get(gateway, path, &[])).1);
    assert!(told(&get(gateway, path, &[])).1, "{path} is stored");
}

/// An origin with `/a` to `/z`, all of which are fresh for a while.
fn origin() -> Origin {
    let origin = Origin::start();
    for letter in 'a'..='z' {
        let fields = format!(
            "cache-control: max-age=600 | age: 100 | etag: \"{letter}\" | cache-tag: t{letter}"
        );
        origin.says(&format!("/{letter}"), &fields);
    }
    origin
}

fn write(gateway: &Gateway, file: &str, configuration: &str) {
    let text = complete(gateway.folder(), configuration, "{}");
    std::fs::write(gateway.file(file), text).unwrap();
}

/// Has the upgrade with this number start the real program with another configuration. Each process has a file of its
/// own, and a name: one that runs would take a change of its file live before it is upgraded.
fn begin_with(gateway: &Gateway, number: usize, configuration: &str) {
    let file = format!("next-{number}.yaml");
    write(gateway, &file, configuration);
    let next = gateway.file(&format!("wiregate-{number}"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wiregate"), &next).unwrap();
    let running = match number {
        1 => "wiregate".to_owned(),
        _ => format!("wiregate-{}", number - 1),
    };
    let script = format!("exec {} run --config {file}", next.display());
    exchange_as(gateway, &running, &script);
}

#[test]
fn what_is_in_memory_goes_over_as_fresh_as_it_was() {
    let origin = origin();
    origin.answers_with(
        "/v",
        200,
        "cache-control: max-age=600 | vary: accept-language",
        "answer {n}",
    );
    let gateway = origin.cached("{ tags: cache-tag }");
    for path in ["/a", "/b", "/c", "/d"] {
        store(&gateway, path);
    }
    let german = get(&gateway, "/v", &["accept-language: de"]).text();
    let english = get(&gateway, "/v", &["accept-language: en"]).text();
    assert_ne!(german, english);
    assert_eq!(send(&gateway, "POST", "/c").status, 200);
    let soft = gateway.admin("POST", "/caches/purge?tag=td&soft");
    assert_eq!(soft.json()["purged"], 1);
    let asked = origin.count();
    let first = upgrade(&gateway, &[]).unwrap();
    for path in ["/a", "/b"] {
        let answer = get(&gateway, path, &[]);
        assert!(told(&answer).1, "{}", did(&answer));
        let age: u64 = answer.header("age").parse().unwrap();
        assert!((100..160).contains(&age), "{age}");
    }
    for (language, body) in [("de", &german), ("en", &english)] {
        let answer = get(&gateway, "/v", &[&format!("accept-language: {language}")]);
        assert_eq!(told(&answer), (body.clone(), true));
    }
    assert_eq!(origin.count(), asked);
    assert!(!is_there(&gateway, "/c"), "it was changed");
    let stale = get(&gateway, "/d", &[]);
    assert!(did(&stale).contains("fwd=stale"), "{}", did(&stale));
    assert!(origin.last().contains("if-none-match: \"d\""));
    gateway.tells(
        "the cache has what another process had stored cache=\"default\" entries=5 refused=0",
    );
    // Its tags have gone over, and so do they to a third one.
    let purged = gateway.admin("POST", "/caches/purge?tag=tb");
    assert_eq!(purged.json()["purged"], 1);
    let _second = upgrade(&gateway, &[]).unwrap();
    assert!(is_there(&gateway, "/a") && !is_there(&gateway, "/b"));
    drop(first);
}

#[test]
fn what_is_purged_at_any_moment_of_an_upgrade_is_gone() {
    const ALL: usize = 300;
    let origin = origin();
    let path = |number: usize| format!("/p/{number}");
    for number in 0..ALL {
        let fields = format!("cache-control: max-age=600 | cache-tag: p{number}");
        // So much that it takes its time to go over, and less than there is time for.
        origin.answers_with(&path(number), 200, &fields, &"x".repeat(30_000));
    }
    let gateway = origin.cached("{ tags: cache-tag }");
    let all = gateway.url(&format!("/p/[0-{}]", ALL - 1));
    let mut curl = Command::new("curl");
    let stored = curl.args(["-s", "-o", "/dev/null", &all]).status();
    assert!(stored.unwrap().success());
    // One after the other, from before it begins until it is over.
    let mut changed = 0;
    let _new = thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&gateway, &[]).unwrap());
        while !upgrading.is_finished() && changed < ALL - 20 {
            match changed % 2 {
                0 => assert_eq!(send(&gateway, "POST", &path(changed)).status, 200),
                _ => {
                    let purge = format!("/caches/purge?tag=p{changed}");
                    // The one that is about to leave may be unable to answer: the other one does.
                    until("it is purged", || {
                        gateway.admin("POST", &purge).status == 200
                    });
                }
            }
            changed += 1;
        }
        upgrading.join().unwrap()
    });
    assert!(changed > 4, "{changed}");
    for number in 0..changed {
        until("it is gone", || !is_there(&gateway, &path(number)));
    }
    for number in ALL - 20..ALL {
        assert!(is_there(&gateway, &path(number)), "{number} of {changed}");
    }
}

#[test]
fn an_upgrade_that_comes_to_nothing_takes_nothing_from_the_cache() {
    let origin = origin();
    let gateway = exchangeable(&origin.configuration("{}"));
    for path in ["/a", "/b", "/c", "/d"] {
        store(&gateway, path);
    }
    let as_before = |gone: &[&str]| {
        for path in ["/a", "/b", "/c", "/d"] {
            assert_eq!(is_there(&gateway, path), !gone.contains(&path), "{path}");
        }
    };
    exchange(&gateway, "exit 3");
    assert!(upgrade(&gateway, &[]).is_err());
    as_before(&[]);
    // One that is killed while it waits for the first check of an endpoint, which is not answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = origin.configuration("{}").replace(
        "upstreams: {",
        &format!(
            "limits: {{ start_deadline: 1m }}\nupstreams: {{ silent: {{ endpoints: [\"{}\"], \
             health: {{ http: /, every: 2m, timeout: 1m }} }},",
            silent.local_addr().unwrap()
        ),
    );
    write(&gateway, "next.yaml", &text);
    let program = env!("CARGO_BIN_EXE_wiregate");
    exchange(
        &gateway,
        &format!("echo $$ > new.tmp; mv new.tmp new.pid; exec {program} run --config next.yaml"),
    );
    thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&gateway, &[]));
        let new = new_process(&gateway);
        let _check = silent.accept().unwrap();
        assert_eq!(send(&gateway, "POST", "/c").status, 200);
        new.signal("KILL");
        let why = upgrading.join().unwrap().unwrap_err();
        assert!(why.contains("signal 9"), "{why}");
    });
    as_before(&["/c"]);
    assert_eq!(send(&gateway, "POST", "/d").status, 200);
    exchange(&gateway, &format!("exec {program} \"$@\""));
    let _new = upgrade(&gateway, &[]).unwrap();
    as_before(&["/c", "/d"]);
}

#[test]
fn a_version_that_reads_other_records_begins_empty_and_that_is_told() {
    let origin = origin();
    let gateway = exchangeable(&origin.configuration("{}"));
    store(&gateway, "/a");
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_wiregate")).unwrap();
    let (ours, theirs) = (b"wiregate cache 3", b"wiregate cache 9");
    let places: Vec<_> = memchr::memmem::find_iter(&program, ours).collect();
    assert!(
        !places.is_empty(),
        "the program says which records it reads"
    );
    for place in places {
        program[place..place + theirs.len()].copy_from_slice(theirs);
    }
    let other = gateway.file("other");
    std::fs::write(&other, program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&other, mode).unwrap();
    std::fs::rename(other, gateway.file("wiregate")).unwrap();
    let _new = upgrade(&gateway, &[]).unwrap();
    assert!(!is_there(&gateway, "/a"));
    gateway.tells("does not read what caches have in memory");
}

fn with(origin: &Origin, cache: &str) -> String {
    format!("caches: {{ c: {{ {cache} }} }}\n") + &origin.configuration("{ store: c }")
}

#[test]
fn a_store_with_other_bounds_gets_what_fits_and_what_is_asked_for_most() {
    let origin = Origin::start();
    for number in 0..60 {
        let path = format!("/{number}");
        origin.answers_with(
            &path,
            200,
            "cache-control: max-age=600",
            &"x".repeat(100_000),
        );
    }
    origin.answers_with(
        "/large",
        200,
        "cache-control: max-age=600",
        &"x".repeat(900_000),
    );
    let gateway = exchangeable(&with(&origin, "memory: 32MiB"));
    store(&gateway, "/large");
    for number in 0..60 {
        store(&gateway, &format!("/{number}"));
    }
    for _ in 0..4 {
        assert!(told(&get(&gateway, "/7", &[])).1);
    }
    begin_with(&gateway, 1, &with(&origin, "memory: 4MiB, largest: 512KiB"));
    let _new = upgrade(&gateway, &[]).unwrap();
    let stored = &gateway.admin("GET", "/caches").json()["caches"]["c"];
    assert!(stored["memory"].as_u64().unwrap() <= 4 << 20, "{stored}");
    let entries = stored["entries"].as_u64().unwrap();
    assert!((20..40).contains(&entries), "{stored}");
    assert!(is_there(&gateway, "/7"));
    assert!(!is_there(&gateway, "/large"));
}

#[test]
fn memory_goes_over_to_a_disk_and_back() {
    let origin = origin();
    let folder = tempfile::tempdir().unwrap();
    let gateway = exchangeable(&with(&origin, "memory: 16MiB"));
    store(&gateway, "/a");
    let path = folder.path().display();
    let disk = format!("memory: 16MiB, disk: {{ path: \"{path}\", size: 64MiB }}");
    begin_with(&gateway, 1, &with(&origin, &disk));
    let second = upgrade(&gateway, &[]).unwrap();
    assert!(is_there(&gateway, "/a"));
    let on_disk = || gateway.admin("GET", "/caches").json()["caches"]["c"]["disk"].as_u64();
    until("it is written", || on_disk().unwrap() > 0);
    begin_with(&gateway, 2, &with(&origin, "memory: 8MiB"));
    let third = upgrade(&gateway, &[]).unwrap();
    assert!(is_there(&gateway, "/a"));
    assert_eq!(origin.count(), 1);
    // The folder does not hear of what is changed without it.
    assert_eq!(send(&gateway, "POST", "/a").status, 200);
    begin_with(&gateway, 3, &with(&origin, &disk));
    let fourth = upgrade(&gateway, &[]).unwrap();
    let found = || gateway.admin("GET", "/caches").json()["caches"]["c"]["entries"].as_u64();
    until("it is found on disk", || found() == Some(1));
    let stale = get(&gateway, "/a", &[]);
    assert!(did(&stale).contains("fwd=stale"), "{}", did(&stale));
    assert!(origin.last().contains("if-none-match: \"a\""));
    drop((second, third, fourth));
}

#[test]
fn several_stores_each_have_what_they_had() {
    let origin = origin();
    let text = format!(
        "caches: {{ one: {{ memory: 8MiB }}, two: {{ memory: 8MiB }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
         routes:\n- {{ name: b, match: {{ path: /b }}, filters: [cache: {{ store: two }}], upstream: app }}\n\
         - {{ name: all, filters: [cache: {{ store: one }}], upstream: app }}\n",
        origin.address
    );
    let gateway = Gateway::start(&text);
    for path in ["/a", "/b", "/c"] {
        store(&gateway, path);
    }
    let _new = upgrade(&gateway, &[]).unwrap();
    let caches = gateway.admin("GET", "/caches").json();
    let entries = |cache: &str| caches["caches"][cache]["entries"].as_u64();
    assert_eq!((entries("one"), entries("two")), (Some(2), Some(1)));
    for path in ["/a", "/b", "/c"] {
        assert!(is_there(&gateway, path), "{path}");
    }
}
