//! A gateway with something of everything, and traffic that shows in every metric.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wiregate::observe::metrics::GROUPS;

use crate::harness::{Echo, Gateway, curl, echoes, until};
use crate::issuer::{Issuer, Key};
use crate::listeners::pki::Authority;
use crate::observe::ask_often;
use crate::origin;

/// A running gateway, and what it needs.
pub struct Featured {
    pub gateway: Gateway,
    _origins: Echo,
    _issuer: Issuer,
}

impl Featured {
    /// Starts it, and has something happen of all that is counted.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Authority::new("ca").issue(folder.path(), "site", &["localhost"]);
        std::fs::write(folder.path().join("endpoints.yaml"), listed()).unwrap();
        let (origins, issuer) = (echoes(2), Issuer::start());
        issuer.publish(&[&Key::new("k1")]);
        let file = folder.path().join("wiregate.yaml");
        let text = configuration(&folder.path().display().to_string(), &origins, &issuer);
        std::fs::write(&file, text).unwrap();
        let this = Self {
            gateway: Gateway::start_file(folder, &file),
            _origins: origins,
            _issuer: issuer,
        };
        this.have_traffic();
        this
    }

    fn have_traffic(&self) {
        let gateway = &self.gateway;
        let get = |path: &str| curl(&[&gateway.url(path)]).status;
        assert_eq!(get("/plain/a"), 200);
        assert_eq!(curl(&["-d", "body", &gateway.url("/plain/b")]).status, 200);
        assert_eq!(
            curl(&["--http2-prior-knowledge", &gateway.url("/plain/c")]).status,
            200
        );
        let secure = format!(
            "https://localhost:{}/plain/d",
            gateway.listener("secure").port()
        );
        assert_eq!(curl(&["-k", &secure]).status, 200);
        assert_eq!(
            (get("/refused"), get("/watched"), get("/answered")),
            (403, 200, 200)
        );
        assert_eq!(
            (get("/guarded"), get("/limited"), get("/nowhere")),
            (401, 200, 404)
        );
        assert_eq!((get("/stored"), get("/slow?delay=300ms")), (200, 200));
        assert_eq!(get("/breaks"), 502);
        until("the circuit is open", || get("/breaks") == 503);
        let ejected =
            "wiregate_endpoint_ejections_total{reason=\"consecutive_errors\",upstream=\"strays\"}";
        until("one of its endpoints is ejected", || {
            get("/strays");
            gateway.metric(ejected) == 1.0
        });
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(get("/narrow?delay=1s"), 200));
            }
        });
        std::fs::write(gateway.file("endpoints.yaml"), listed()).unwrap();
        break_off(gateway.address());
        self.wait_for_all();
    }

    /// Some more of what can be had again and again.
    pub fn traffic(&self) {
        let gateway = &self.gateway;
        for path in ["/plain/a", "/refused", "/answered", "/stored", "/slow"] {
            curl(&[&gateway.url(path)]);
        }
        let port = gateway.listener("secure").port();
        curl(&["-k", &format!("https://localhost:{port}/plain/d")]);
    }

    /// Waits until all that is declared is there.
    fn wait_for_all(&self) {
        let mut missing = Vec::new();
        let declared = GROUPS.iter().flat_map(|group| group.families);
        let start = std::time::Instant::now();
        while start.elapsed() < crate::harness::PATIENCE {
            let text = self.gateway.admin("GET", "/metrics").text();
            let there = |name: &str| text.contains(&format!("\n# TYPE {name} "));
            let names = declared.clone().map(|family| family.name);
            missing = names.filter(|name| !there(name)).collect();
            if missing.is_empty() {
                return;
            }
            // The time of filters is measured with luck only.
            ask_often(&self.gateway, "/answered", "");
        }
        panic!("nothing is told of {missing:?}");
    }
}

/// An address where nobody listens.
fn unused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A file of endpoints, other than the last one.
fn listed() -> String {
    format!("- \"{}\"\n", unused())
}

/// A client that does not keep to HTTP/2: it sends data outside of all streams.
fn break_off(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let data = [0, 0, 1, 0, 0, 0, 0, 0, 0, b'x'];
    let all = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &settings[..],
        &data[..],
    ]
    .concat();
    stream.write_all(&all).unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
}

/// An origin whose answers may be stored.
fn storable() -> SocketAddr {
    let asked = Arc::new(AtomicUsize::new(0));
    origin::answers(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed).to_string();
        let length = number.len();
        format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n{number}"
        )
    })
}

fn configuration(folder: &str, origins: &Echo, issuer: &Issuer) -> String {
    let (one, two) = (origins.addresses()[0], origins.addresses()[1]);
    let (gone, stored, issuer) = (unused(), storable(), &issuer.url);
    format!(
        r#"version: 1
workers: 2
listeners:
  public: {{ bind: "127.0.0.1:0" }}
  secure: {{ bind: "127.0.0.1:0", tls: {{ certificates: {{ certificate: site.pem, key: site.key }} }} }}
admin: {{ bind: "unix:{folder}/admin.sock" }}
access_log: {{ file: "{folder}/access.log" }}
upstreams:
  app: {{ endpoints: ["{one}"], health: {{ http: /health, every: 1s }} }}
  stored: {{ endpoints: ["{stored}"] }}
  listed: {{ endpoints: [{{ file: endpoints.yaml }}] }}
  breaks: {{ endpoints: ["{gone}"], retry: {{ attempts: 2, backoff: 1ms }}, breaker: {{ errors: 50%, of_at_least: 2, open_for: 1h }} }}
  strays: {{ endpoints: ["{gone}", "{one}"], balance: round_robin, outliers: {{ consecutive_errors: 1 }} }}
  narrow: {{ endpoints: ["{one}"], in_flight: {{ most: 1, queue: 2, wait: 20s }} }}
  slow: {{ endpoints: ["{one}", "{two}"], hedge: {{ after: 20ms, at_most: 50% }} }}
routes:
  - {{ name: plain, match: {{ path: /plain/** }}, filters: [ip: {{ deny: 10.0.0.0/8 }}], upstream: app }}
  - {{ name: refused, match: {{ path: /refused }}, filters: [ip: {{ deny: 127.0.0.0/8 }}], upstream: app }}
  - {{ name: watched, match: {{ path: /watched }}, filters: [ip: {{ deny: 127.0.0.0/8, mode: observe }}], upstream: app }}
  - {{ name: answered, match: {{ path: /answered }}, filters: [respond: hello] }}
  - {{ name: guarded, match: {{ path: /guarded }}, filters: [jwt: {{ issuer: "{issuer}", audience: orders }}], upstream: app }}
  - name: limited
    match: {{ path: /limited }}
    filters:
      - rate_limit: {{ limit: 12/365d, store: {{ redis: {{ at: "redis://{gone}" }} }}, on_store_error: allow }}
      - respond: ok
  - {{ name: stored, match: {{ path: /stored }}, filters: [cache: {{}}], upstream: stored }}
  - {{ name: listed, match: {{ path: /listed }}, upstream: listed }}
  - {{ name: breaks, match: {{ path: /breaks }}, upstream: breaks }}
  - {{ name: strays, match: {{ path: /strays }}, upstream: strays }}
  - {{ name: narrow, match: {{ path: /narrow }}, upstream: narrow }}
  - {{ name: slow, match: {{ path: /slow }}, upstream: slow }}
"#
    )
}
