//! A real redis-server, and one gateway's way to it.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wiregate_sdk::testing::{Probe, probe};

use super::{RateLimit, get};

const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server of its own; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    _folder: tempfile::TempDir,
}

/// The servers that speak Redis.
pub(super) const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

impl Server {
    pub(super) fn start() -> Self {
        Self::start_as(PROGRAMS[0])
    }

    pub(super) fn start_as(program: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-debug-command",
                "local",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            port,
            _folder: folder,
        };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "no {program}");
            std::thread::yield_now();
        }
        server
    }

    pub(super) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        client.get_connection().unwrap()
    }

    fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut call = redis::cmd(words.next().unwrap());
        for word in words {
            call.arg(word);
        }
        call.query(&mut self.connection()).unwrap()
    }

    /// How often a command was called so far.
    fn calls(&self, command: &str) -> usize {
        let stats: String = self.ask("INFO commandstats");
        let line = stats.lines().find_map(|line| {
            let rest = line.strip_prefix(&format!("cmdstat_{command}:calls="))?;
            rest.split(',').next()
        });
        line.map_or(0, |calls| calls.parse().unwrap())
    }

    fn filter(&self, options: &str) -> Probe {
        self.filter_with("10s", options)
    }

    fn filter_with(&self, deadline: &str, options: &str) -> Probe {
        let port = self.port;
        live(probe::<RateLimit>(&format!(
            "{{ store: {{ redis: {{ at: 'redis://127.0.0.1:{port}', deadline: {deadline} }} }}, {options} }}"
        )))
    }

    /// How many connections it was ever made.
    fn connections(connection: &mut redis::Connection) -> String {
        let mut call = redis::cmd("INFO");
        let stats: String = call.arg("stats").query(connection).unwrap();
        let mut lines = stats.lines();
        let line = lines.find(|line| line.starts_with("total_connections_received:"));
        line.unwrap().to_owned()
    }
}

/// A filter whose tasks run, here.
fn live(mut filter: Probe) -> Probe {
    for task in filter.take_tasks() {
        tokio::spawn(task);
    }
    filter
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_request_takes_one_round_trip() {
    let server = Server::start();
    let filter = server.filter("limit: [50/h, 100/day]");
    for _ in 0..20 {
        assert_eq!(get(&filter).await.status(), 200);
    }
    // Only the first one has to bring the script along.
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (20, 1));
    let () = server.ask("SCRIPT FLUSH");
    assert_eq!(get(&filter).await.status(), 200);
    let seen = get(&filter).await;
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (22, 2));
    assert!(
        seen.header("ratelimit").unwrap().contains("r=28;"),
        "{:?}",
        seen.header("ratelimit")
    );
    assert_eq!(server.calls("set"), 22);
}

#[tokio::test]
async fn what_is_refused_or_costs_nothing_is_not_written() {
    let server = Server::start();
    for algorithm in ["gcra", "token_bucket", "fixed_window", "sliding_window"] {
        let before = server.calls("set");
        let filter = server.filter(&format!(
            "limit: [2/day, 5/3650d], algorithm: {algorithm}, by: '\"{algorithm}\"', \
             cost: 'int(request.headers[\"x-cost\"])'"
        ));
        let cost = async |cost: &str| {
            let seen = filter.get("/").header("x-cost", cost).send().await;
            seen.status()
        };
        assert_eq!(cost("2").await, 200);
        for _ in 0..5 {
            assert_eq!(
                (cost("1").await, cost("0").await),
                (429, 200),
                "{algorithm}"
            );
        }
        assert_eq!(server.calls("set") - before, 1, "{algorithm}");
    }
}

#[tokio::test]
async fn a_key_lasts_as_long_as_its_limit_and_shows_nothing() {
    let server = Server::start();
    let filter = server.filter("limit: 2/h, by: 'request.headers[\"x-key\"]'");
    let long = "secret".repeat(1000);
    filter.get("/").header("x-key", &long).send().await;
    let keys: Vec<String> = server.ask("KEYS *");
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let digest = key.strip_prefix("wiregate:rate_limit:rate_limit:").unwrap();
    assert!(
        digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
        "{key}"
    );
    let lasts: i64 = server.ask(&format!("PTTL {key}"));
    assert!((1_700_000..=1_800_001).contains(&lasts), "{lasts}");
}

#[tokio::test]
async fn filters_of_the_same_servers_share_a_connection() {
    let server = Server::start();
    let first = server.filter("limit: 10/h");
    assert_eq!(get(&first).await.status(), 200);
    let clients = || server.ask::<String>("CLIENT LIST").lines().count();
    let before = clients();
    let first = live(first.reload::<RateLimit>(&format!(
        "{{ limit: 5/h, store: {{ redis: {{ at: 'redis://127.0.0.1:{}', deadline: 9s }} }} }}",
        server.port
    )));
    for remaining in ["r=4;", "r=3;"] {
        let seen = get(&first).await;
        assert!(seen.header("ratelimit").unwrap().contains(remaining));
    }
    assert_eq!(clients(), before);
}

#[tokio::test]
async fn a_short_stall_costs_no_connection() {
    let server = Server::start();
    let filter = server.filter_with("300ms", "limit: 1000/h");
    while get(&filter).await.status() != 200 {}
    let mut other = server.connection();
    let before = Server::connections(&mut other);
    let mut pause = redis::cmd("CLIENT");
    let () = pause.arg("PAUSE").arg(700).query(&mut other).unwrap();
    let calls = (0..60).map(|_| filter.get("/").send());
    let calls: tokio::task::JoinSet<_> = calls.collect();
    for seen in calls.join_all().await {
        assert_eq!(seen.reason(), Some("store_unreachable"));
    }
    // It answers when the pause is over.
    assert_eq!(Server::connections(&mut other), before);
    assert_eq!(get(&filter).await.status(), 200);
    assert_eq!(Server::connections(&mut other), before);
}

#[test]
fn a_worker_that_is_busy_holds_up_no_other() {
    let server = Server::start();
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap()
    };
    std::thread::scope(|scope| {
        let (give, take) = std::sync::mpsc::channel();
        let (end, over) = tokio::sync::oneshot::channel::<()>();
        let server = &server;
        let control = async move {
            give.send(server.filter("limit: 10/h")).unwrap();
            over.await
        };
        scope.spawn(move || runtime().block_on(control));
        let filter = take.recv().unwrap();
        // The first one does nothing more once it has been served.
        let workers = [runtime(), runtime()];
        for worker in &workers {
            assert_eq!(worker.block_on(get(&filter)).status(), 200);
        }
        drop(end);
    });
}

#[tokio::test]
async fn a_clock_of_the_store_that_was_set_back_locks_nobody_out() {
    let server = Server::start();
    for algorithm in ["gcra", "token_bucket", "fixed_window", "sliding_window"] {
        let filter = server.filter(&format!("limit: 3/15s, algorithm: {algorithm}"));
        assert_eq!(get(&filter).await.status(), 200);
        // What would be there if the clock had been an hour ahead until now.
        let keys: Vec<String> = server.ask("KEYS *");
        let cells: String = server.ask(&format!("GET {}", keys[0]));
        let mut cells: Vec<u64> = cells.split(' ').map(|cell| cell.parse().unwrap()).collect();
        cells[0] += match algorithm {
            "sliding_window" => 3600,
            _ => 3_600_000_000,
        };
        let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
        let mut set = redis::cmd("SET");
        set.arg(&keys[0]).arg(cells.join(" "));
        let () = set.query(&mut server.connection()).unwrap();
        let mut seen = get(&filter).await;
        while seen.status() == 200 {
            seen = get(&filter).await;
        }
        let wait: u64 = seen.header("retry-after").unwrap().parse().unwrap();
        assert!(wait <= 16, "{algorithm}: {wait}");
        let lasts: i64 = server.ask(&format!("PTTL {}", keys[0]));
        assert!((1..=17_000).contains(&lasts), "{algorithm}: {lasts}");
        let () = server.ask("FLUSHALL");
    }
}

#[tokio::test]
async fn whoever_goes_on_without_the_store_says_so() {
    let server = Server::start();
    let port = server.port;
    drop(server);
    let filter = |otherwise: &str| {
        live(probe::<RateLimit>(&format!(
            "{{ limit: 4/h, store: {{ redis: 'redis://127.0.0.1:{port}' }}, on_store_error: {otherwise} }}"
        )))
    };
    let seen = get(&filter("deny")).await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (503, Some("store_unreachable"))
    );
    assert_eq!(seen.degraded, None);
    let seen = get(&filter("allow")).await;
    assert_eq!((seen.status(), seen.header("ratelimit")), (200, None));
    assert_eq!(seen.degraded, Some("store_unreachable"));
    let local = filter("{ local: { gateways: 2 } }");
    for expected in [200, 200, 429] {
        let seen = get(&local).await;
        assert_eq!(
            (seen.status(), seen.degraded),
            (expected, Some("store_unreachable"))
        );
    }
    // The fields tell of the limit that all gateways keep together.
    let seen = get(&local).await;
    assert_eq!(
        seen.header("ratelimit-policy"),
        Some("\"rate_limit\";q=4;w=3600")
    );
}
