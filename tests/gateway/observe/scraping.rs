//! The listener for whoever may look at the metrics and touch nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Answer, Gateway, curl, until, wiregate};

const ROUTES: &str = "routes: [{ name: all, filters: [respond: 204] }]\n";

fn gateway() -> Gateway {
    Gateway::start(&format!("metrics: {{ bind: \"127.0.0.1:0\" }}\n{ROUTES}"))
}

/// Where the metrics are.
fn address(gateway: &Gateway) -> SocketAddr {
    gateway.tells("the metrics listener is listening");
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("the metrics listener is listening"));
    let (_, rest) = line.unwrap().split_once("address=").unwrap();
    let address = rest.split_whitespace().next().unwrap().trim_matches('"');
    address.parse().unwrap()
}

fn ask(address: SocketAddr, path: &str, more: &[&str]) -> Answer {
    curl(&[&[&*format!("http://{address}{path}")], more].concat())
}

#[test]
fn shows_metrics_and_probes_to_whoever_asks() {
    let gateway = gateway();
    let address = address(&gateway);
    for host in ["host: gateway.example:9100", "host: 10.1.2.3", "host:"] {
        let answer = ask(address, "/metrics", &["-H", host]);
        assert_eq!(answer.status, 200, "{host}");
        assert!(answer.text().contains("\nwiregate_build_info{"), "{host}");
    }
    for path in ["/livez", "/readyz"] {
        let answer = ask(address, path, &[]);
        assert_eq!((answer.status, &*answer.text()), (200, "ok\n"), "{path}");
    }
    let origin = ["-H", "origin: http://page.example"];
    assert_eq!(ask(address, "/metrics", &origin).status, 403);
}

#[test]
fn has_nothing_that_changes_or_tells_more() {
    let gateway = gateway();
    let address = address(&gateway);
    for path in [
        "/config",
        "/config?format=yaml",
        "/upstreams",
        "/caches",
        "/caches/purge?all",
        "/reload",
        "/reload?wait=false",
        "/upgrade",
        "/",
        "/metrics/",
        "//reload",
        "/%72eload",
        "/metrics/../reload",
    ] {
        for method in ["GET", "POST"] {
            let answer = ask(address, path, &["--path-as-is", "-X", method]);
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.text(), "there are: GET /metrics /livez /readyz\n");
        }
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        let answer = ask(address, path, &["-X", "POST"]);
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("allow"), "GET, HEAD");
        let asked = [ask(address, path, &[]), ask(address, path, &["-I"])];
        let [asked, looked] =
            asked.map(|answer| (answer.status, answer.header("content-type").to_owned()));
        assert_eq!(asked, (200, looked.1.clone()), "{path}");
        assert_eq!(asked, looked, "{path}");
    }
    let ready = gateway.admin("GET", "/readyz?verbose").json();
    assert_eq!(ready["generation"], 1, "nothing was reloaded");
    assert_eq!(ready["pid"], gateway.pid(), "nobody has taken over");
}

#[test]
fn those_who_hold_all_its_places_keep_nobody_out() {
    let gateway = gateway();
    let address = address(&gateway);
    // More than it has places for, and none of them asks: they give way.
    let silent: Vec<_> = (0..80)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    assert_eq!(gateway.admin("GET", "/metrics").status, 200);
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
    let began = Instant::now();
    assert_eq!(ask(address, "/livez", &[]).status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "half of what they may be silent"
    );
    drop(silent);
    assert_eq!(ask(address, "/metrics", &[]).status, 200);
}

#[test]
fn those_who_ask_and_do_not_read_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    // So many endpoints, and so long a name, that what there is to say does not fit into the system's buffers.
    let endpoints: Vec<_> = (1..=500).map(|n| format!("\"127.0.0.1:{n}\"")).collect();
    let _gateway = Gateway::start(&format!(
        "metrics: {{ bind: \"unix:{}\" }}\nupstreams: {{ {}: {{ endpoints: [{}] }} }}\n{ROUTES}",
        socket.display(),
        "u".repeat(100),
        endpoints.join(", ")
    ));
    let ask = |path: &str| {
        let url = format!("http://localhost{path}");
        curl(&["--unix-socket", socket.to_str().unwrap(), &url])
    };
    let length = ask("/metrics").body.len();
    assert!(length > 256 << 10, "{length}");
    // As many as it has places for, and each is being answered before the next one comes.
    let stuck = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
        asked.and_then(|()| stream.read_exact(&mut [0])).unwrap();
        stream
    };
    let stuck: Vec<_> = (0..64).map(|_| stuck()).collect();
    let began = Instant::now();
    assert_eq!(ask("/livez").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "half of what they have to take it"
    );
    drop(stuck);
    assert_eq!(ask("/metrics").status, 200);
}

#[test]
fn says_that_the_gateway_drains() {
    let text =
        format!("metrics: {{ bind: \"127.0.0.1:0\" }}\nlimits: {{ drain_delay: 15s }}\n{ROUTES}");
    let mut gateway = Gateway::start(&text);
    let address = address(&gateway);
    gateway.signal("TERM");
    until("it is not ready any more", || {
        let answer = ask(address, "/readyz", &[]);
        (answer.status, &*answer.text()) == (503, "draining\n")
    });
    assert_eq!(ask(address, "/livez", &[]).status, 200);
    gateway.signal("INT");
    gateway.wait();
}

#[test]
fn a_reload_cannot_move_it() {
    let gateway = gateway();
    gateway.write(ROUTES);
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422);
    let text = answer.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("`metrics` cannot change in a running gateway"),
        "{text}"
    );
    assert_eq!(ask(address(&gateway), "/livez", &[]).status, 200);
}

#[test]
fn is_there_without_an_admin_api_and_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (
        folder.path().join("w.yaml"),
        folder.path().join("metrics.sock"),
    );
    let text = format!(
        "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\naccess_log: off\n\
         metrics: {{ bind: \"unix:{}\" }}\n{ROUTES}",
        socket.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut child = wiregate(&["run", "--config"])
        .arg(&file)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let asked = || {
        Command::new("curl")
            .args(["-s", "--max-time", "10", "--unix-socket"])
            .arg(&socket)
            .arg("http://localhost/readyz")
            .output()
            .unwrap()
    };
    until("it answers", || asked().stdout == b"ok\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
