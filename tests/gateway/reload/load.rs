//! A hundred reloads under constant load: no request fails, and nothing piles up.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::harness::{Gateway, PATIENCE, echoes, until};

/// More routes than matter for the load: what a reload leaves behind would weigh.
const ROUTES: usize = 80;

/// A configuration that differs from the others in its routes, upstreams, endpoints and filters,
/// but for `/steady`, which always answers.
fn version(n: usize, origins: &[SocketAddr]) -> String {
    let [a, b] = origins else { panic!() };
    let endpoints = match n % 3 {
        0 => format!("\"{a}\""),
        1 => format!("\"{a}\", \"{b}\""),
        _ => format!("\"{b}\""),
    };
    let steady = match n % 4 {
        0 => "[]".to_owned(),
        1 => format!("[headers: {{ response: {{ set: {{ x-version: \"{n}\" }} }} }}]"),
        2 => "[tag, rate_limit: { limit: 1000000/s }, request_id: {}]".to_owned(),
        _ => "[cors: { origins: \"https://a.example\" }, compress: {}, tag]".to_owned(),
    };
    let upstream = if n.is_multiple_of(2) { "app" } else { "other" };
    let rest = "keep_idle: 500ms, health: { http: /health, every: 200ms, timeout: 500ms }";
    let mut text = format!(
        "limits: {{ overload: off }}\nupstreams:\n  app: {{ endpoints: [{endpoints}], {rest} }}\n  \
         other: {{ endpoints: [\"{a}\", \"{b}\"], {rest} }}\n  \
         only-{n}: {{ endpoints: [\"{b}\"], {rest} }}\n\
         filters: {{ tag: {{ headers: {{ request: {{ set: {{ x-tag: \"{n}\" }} }} }} }} }}\n\
         routes:\n  - {{ name: steady, match: {{ path: /steady }}, filters: {steady}, upstream: {upstream} }}\n"
    );
    for route in 0..ROUTES {
        let at = format!("{n}-{route}");
        text += &format!(
            "  - {{ name: r{at}, match: {{ path: /r{at}/**, methods: [GET] }}, \
             filters: [tag, rate_limit: {{ limit: 10/s }}], upstream: only-{n} }}\n"
        );
    }
    text
}

/// A client that keeps its connection, and takes nothing but whole, right answers.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request with this body and returns what is wrong with the answer.
    fn ask(&mut self, body: &str) -> Result<(), String> {
        let head = format!(
            "POST /steady HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0
            .get_mut()
            .write_all(head.as_bytes())
            .map_err(|e| e.to_string())?;
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let start = head.len();
            let read = self.0.read_line(&mut head).map_err(|e| e.to_string())?;
            let line = head[start..].to_ascii_lowercase();
            if read == 0 {
                return Err(format!("closed within a head: {head:?}"));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).map_err(|e| e.to_string())?;
        let seen: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        let right = head.starts_with("HTTP/1.1 200 OK\r\n")
            && seen["body"] == body
            && !head.to_ascii_lowercase().contains("connection: close");
        right
            .then_some(())
            .ok_or_else(|| format!("{head}{}", String::from_utf8_lossy(&answer)))
    }
}

/// HTTP/1.1 on two connections and HTTP/2 on two more, until told to stop.
struct Load {
    address: SocketAddr,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    fn http1(&self, number: usize) {
        let mut client = Client::new(self.address);
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(wrong) = client.ask(&format!("{number}:{n}")) {
                self.stop.store(true, Ordering::Relaxed);
                panic!("request {n} of connection {number}: {wrong}");
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            // The pace of the load, not a wait for something: steady, not as much as there can be, so
            // that reloads get their share of two cores.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn http2(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let url = format!("http://{}/steady", self.address);
            let arguments = ["-n", "400", "-c", "2", "-m", "8", "--rps", "300", &url];
            let output = Command::new("h2load").args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let well = said.contains("400 succeeded, 0 failed, 0 errored, 0 timeout")
                && said.contains("status codes: 400 2xx, ");
            if !well {
                self.stop.store(true, Ordering::Relaxed);
                panic!("{said}{}", String::from_utf8_lossy(&output.stderr));
            }
            self.answered.fetch_add(400, Ordering::Relaxed);
        }
    }
}

/// Reloads under load, and returns how many requests were answered meanwhile.
fn reload_under_load(
    gateway: &Gateway,
    versions: std::ops::Range<usize>,
    origins: &[SocketAddr],
) -> u64 {
    let load = Load {
        address: gateway.address(),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for number in 0..2 {
            let load = &load;
            scope.spawn(move || load.http1(number));
        }
        scope.spawn(|| load.http2());
        for n in versions {
            let before = load.answered.load(Ordering::Relaxed);
            if load.stop.load(Ordering::Relaxed) {
                break; // the thread that panicked tells why
            }
            gateway.reload(&version(n, origins));
            // Each version gets its share of the load.
            until("requests go on", || {
                load.stop.load(Ordering::Relaxed)
                    || load.answered.load(Ordering::Relaxed) > before + 20
            });
        }
        load.stop.store(true, Ordering::Relaxed);
    });
    load.answered.into_inner()
}

/// What the process holds when all is quiet: memory in kB, threads, file descriptors.
fn holds(gateway: &Gateway) -> [u64; 3] {
    let idle = "wiregate_connections{listener=\"public\"}";
    until("the clients' connections are gone", || {
        gateway.metric(idle) == 0.0
    });
    // Connections to endpoints are kept for up to two seconds.
    let mut last = usize::MAX;
    let mut since = std::time::Instant::now();
    until("connections to endpoints are gone", || {
        let now = gateway.descriptors();
        if now != last {
            (last, since) = (now, std::time::Instant::now());
        }
        since.elapsed() > Duration::from_secs(2)
    });
    [
        gateway.status("VmRSS"),
        gateway.status("Threads"),
        u64::try_from(last).unwrap(),
    ]
}

#[test]
fn a_hundred_reloads_lose_no_request_and_leave_nothing_behind() {
    let origins = echoes(2);
    let origins = origins.addresses();
    let gateway = Gateway::start(&version(0, origins));
    reload_under_load(&gateway, 1..31, origins);
    let [memory, threads, descriptors] = holds(&gateway);

    let answered = reload_under_load(&gateway, 31..131, origins);
    assert!(answered > 2000, "{answered} requests are no load");
    // The watcher may have been faster than a request to reload: both then count.
    assert!(gateway.metric("wiregate_config_generation") >= 131.0);
    let [memory_after, threads_after, descriptors_after] = holds(&gateway);
    // One version that stayed would take about half a megabyte, each of them fifty.
    let bound = memory + memory / 4 + 8 * 1024;
    assert!(memory_after < bound, "{memory} kB became {memory_after} kB");
    assert!(
        threads_after <= threads + 1,
        "{threads} threads became {threads_after}"
    );
    assert!(
        descriptors_after <= descriptors + 4,
        "{descriptors} descriptors became {descriptors_after}"
    );

    until("former configurations are taken apart", || {
        gateway.metric("wiregate_config_retired") == 0.0
    });

    let metrics = gateway.admin("GET", "/metrics").text();
    for line in metrics.lines() {
        assert!(
            !line.contains("\"r129-") && !line.contains("only-129"),
            "{line}"
        );
    }
    assert!(metrics.contains("upstream=\"only-130\""));
    let code = "wiregate_requests_total{code=\"200\",method=\"POST\",route=\"steady\"}";
    assert!(gateway.metric(code) > 1000.0);
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("wiregate_requests_total{"))
    {
        assert!(line.contains("code=\"200\""), "{line}");
    }
}
