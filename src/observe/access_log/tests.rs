//! The access log with real files, full disks and stalled readers.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use wiregate_sdk::Method;

use super::*;

const LONG: Duration = Duration::from_secs(20);

pub(super) fn entry(target: &str) -> Entry {
    let client = "192.0.2.7".parse().unwrap();
    Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_042),
        target: Target::new(target),
        status: Some(200),
        bytes_out: 5,
        duration: Duration::from_micros(1500),
        attempts: 1,
        ..Entry::unserved("id-1".into(), client, Method::GET)
    }
}

fn plain(output: Output) -> Arc<Plan> {
    Arc::new(Plan::plain(output))
}

fn to(path: &Path) -> Arc<Plan> {
    plain(Output::File(path.into(), None))
}

fn open(path: &Path) -> AccessLog {
    AccessLog::open(to(path)).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_says_what_is_known_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = open(&path);
    log.write(entry("/a?b=\"c\"\n"));
    log.write(Entry {
        host: Some("example.com".into()),
        route: Some("orders".into()),
        upstream: Some("app".into()),
        endpoint: Some("10.0.0.1:8080".into()),
        cache: Some("miss"),
        upstream_time: Some(Duration::from_millis(1)),
        identity: Some("kim".into()),
        consumer: Some("acme".into()),
        refused_by: Some("rate_limit".into()),
        observed: vec![("ip".into(), "address_denied")],
        degraded: vec![("quota".into(), "store_unreachable")],
        error: Some("connection_refused"),
        detail: Some("why".into()),
        ..entry("/")
    });
    assert!(log.close(LONG));
    let lines = lines(&path);
    let bare = json!({
        "time": "2023-11-14T22:13:20.042Z", "request_id": "id-1", "client": "192.0.2.7",
        "method": "GET", "target": "/a?b=\"c\"\n", "protocol": "HTTP/1.1", "status": 200,
        "bytes_in": 0, "bytes_out": 5, "duration_ms": 1.5, "attempts": 1,
    });
    assert_eq!(lines[0], bare);
    let mut full = bare;
    for (key, value) in [
        ("target", json!("/")),
        ("host", json!("example.com")),
        ("route", json!("orders")),
        ("upstream", json!("app")),
        ("endpoint", json!("10.0.0.1:8080")),
        ("cache", json!("miss")),
        ("upstream_ms", json!(1.0)),
        ("identity", json!("kim")),
        ("consumer", json!("acme")),
        ("refused_by", json!("rate_limit")),
        ("observed", json!({ "ip": "address_denied" })),
        ("degraded", json!({ "quota": "store_unreachable" })),
        ("error", json!("connection_refused")),
        ("detail", json!("why")),
    ] {
        full[key] = value;
    }
    assert_eq!(lines[1..], [full]);
    assert_eq!((log.written(), log.dropped()), (2, 0));
}

#[test]
fn entries_written_while_idle_appear_without_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = open(&path);
    for n in 1..=200 {
        // Each may meet a writer that sleeps, parks or is about to.
        log.write(entry("/"));
        wait_until("the entry is written", || log.written() == n);
    }
    assert_eq!(lines(&path).len(), 200);
}

#[test]
fn rotation_under_load_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::with_capacity(to(&path), 40_000).unwrap();
    let old = |n: usize| folder.path().join(format!("access.log.{n}"));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || {
                (0..10_000).for_each(|n| log.write(entry(&format!("/{worker}/{n}"))))
            });
        }
        for n in 0..10 {
            std::fs::rename(&path, old(n)).unwrap();
            log.reopen().unwrap();
            assert!(path.exists());
            // Only once the writer has switched can the next rotation be a new one.
            wait_until("the writer switches", || log.shared.next().is_none());
        }
    });
    assert!(log.close(LONG));
    assert_eq!((log.written(), log.dropped()), (40_000, 0));
    let mut all = lines(&path);
    (0..10).for_each(|n| all.extend(lines(&old(n))));
    let mut targets: Vec<_> = all.iter().map(|line| line["target"].to_string()).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 40_000);
}

#[test]
fn own_rotation_and_that_of_others_go_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let rotation = Rotation {
        size: Some(300_000),
        every: None,
        keep: 1000,
    };
    let plan = plain(Output::File(path.clone(), Some(rotation)));
    // Two logs, as those of two processes are.
    let logs = [(); 2].map(|()| AccessLog::with_capacity(plan.clone(), 40_000).unwrap());
    std::thread::scope(|scope| {
        for (worker, log) in logs.iter().enumerate() {
            scope.spawn(move || {
                (0..10_000).for_each(|n| log.write(entry(&format!("/{worker}/{n}"))))
            });
        }
        for n in 0..5 {
            // Either log may have just moved it away.
            let _ = std::fs::rename(&path, folder.path().join(format!("moved.{n}")));
            for log in &logs {
                log.reopen().unwrap();
                wait_until("the writer switches", || log.shared.next().is_none());
            }
        }
    });
    for log in &logs {
        assert!(log.close(LONG));
        assert_eq!((log.written(), log.dropped()), (10_000, 0));
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let mut targets: Vec<_> = (files.iter().flat_map(|file| lines(file)))
        .map(|line| line["target"].to_string())
        .collect();
    assert_eq!(targets.len(), 20_000);
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 20_000);
    // 3.6 MB cannot be in less, even with what somebody else moved away.
    assert!(files.len() > 6, "{files:?}");
}

#[test]
fn a_failed_reopening_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs").join("access.log");
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    let log = open(&path);
    let moved = folder.path().join("moved");
    std::fs::rename(folder.path().join("logs"), &moved).unwrap();
    let error = log.reopen().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot open {}: ", path.display())),
        "{error}"
    );
    log.write(entry("/"));
    assert!(log.close(LONG));
    assert_eq!(lines(&moved.join("access.log")).len(), 1);
}

#[test]
fn an_output_that_cannot_be_opened_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let error = AccessLog::open(to(folder.path())).unwrap_err().to_string();
    let start = format!("cannot open {}: ", folder.path().display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn a_stalled_reader_fills_the_queue_and_drops_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    // Either side's opening waits for the other's.
    let read_end = std::thread::spawn({
        let path = path.clone();
        move || File::open(path).unwrap()
    });
    let pipe = File::options().append(true).open(&path).unwrap();
    // A full queue is more than the pipe holds.
    let log = AccessLog::start(
        plain(Output::Stdout),
        Sink::File(Lines::new(pipe, None)),
        1000,
    )
    .unwrap();
    let mut read_end = read_end.join().unwrap();
    let mut offered = 0;
    wait_until("an entry is dropped", || {
        offered += 1;
        log.write(entry("/"));
        log.dropped() > 0
    });
    assert!(!log.close(Duration::from_millis(20)), "nobody has read");

    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        read_end.read_to_string(&mut text).unwrap();
        text
    });
    assert!(log.close(LONG));
    let read = reader.join().unwrap().lines().count() as u64;
    assert_eq!(log.written(), read);
    assert_eq!(log.written() + log.dropped(), offered);
    log.write(entry("/late"));
    assert_eq!(log.written() + log.dropped(), offered + 1);
}

#[test]
fn a_full_disk_costs_entries_and_nothing_else() {
    let log = open(Path::new("/dev/full"));
    for n in 1..=3 {
        log.write(entry("/"));
        wait_until("the loss is counted", || log.dropped() == n);
    }
    assert_eq!(log.written(), 0);
    assert!(log.close(LONG));
}

#[test]
fn a_pipe_is_refused_at_once_and_a_device_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // Nobody reads from it, then somebody does.
    assert!(AccessLog::open(to(&pipe)).is_err());
    let _reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let refused = AccessLog::open(to(&pipe)).unwrap_err();
    assert!(refused.to_string().contains("expected a file"), "{refused}");
    assert!(AccessLog::open(to(Path::new("/dev/null"))).is_ok());
}
