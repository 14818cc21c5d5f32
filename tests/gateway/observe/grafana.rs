//! The dashboard with data: a Prometheus asks a gateway, and every panel has something to show. And what
//! Grafana would not take: panels that lie over each other, or names that come twice.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use wiregate::observe::metrics::GROUPS;

use super::featured::Featured;
use super::rules::{ALERTS, DASHBOARD, all, asked, fill_in, read, text, yaml};
use crate::harness::{curl, until};

/// Metrics that nobody is to look at all the time, and where they are for.
const ELSEWHERE: [&str; 29] = [
    // When something is wrong with one upstream, route or listener.
    "wiregate_endpoint_checked",
    "wiregate_endpoint_errors_total",
    "wiregate_endpoint_requests_in_flight",
    "wiregate_endpoint_ejections_total",
    "wiregate_upstream_circuit_turns_total",
    "wiregate_upstream_connect_duration_seconds",
    "wiregate_upstream_health_checks_total",
    "wiregate_upstream_refresh_success_timestamp_seconds",
    "wiregate_upstream_requests_in_flight",
    "wiregate_upstream_requests_waiting",
    "wiregate_filter_answers_total",
    "wiregate_filter_fetch_success_timestamp_seconds",
    "wiregate_filter_observed_total",
    "wiregate_http2_connections_ended_total",
    "wiregate_http2_streams_reset_total",
    "wiregate_tls_handshake_duration_seconds",
    "wiregate_cache_entries",
    // What a deployment looks at, and what others are compared with.
    "wiregate_build_info",
    "wiregate_config_last_reload_success_timestamp_seconds",
    "wiregate_config_reload_duration_seconds",
    "wiregate_config_reloads_total",
    "wiregate_config_retired",
    "wiregate_memory_limit_bytes",
    "wiregate_phase",
    "wiregate_traces_exported_total",
    "wiregate_workers",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// A Prometheus that asks one gateway; killed when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [{{ job_name: wiregate, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus, of Debian's package prometheus");
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// The values that an expression has now; why there are none.
    fn values(&self, expression: &str) -> Result<Vec<f64>, String> {
        let (url, query) = (
            format!("http://{}/api/v1/query", self.address),
            format!("query={expression}"),
        );
        let answer = curl(&["-G", "--data-urlencode", &query, &url]);
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        let answer = answer.json();
        let results = all(&answer["data"], &["result"]);
        let values = results.iter().map(|one| one["value"][1].as_str().unwrap());
        Ok(values.map(|value| value.parse().unwrap()).collect())
    }
}

/// An address that leads to a Unix socket: Prometheus asks none of those.
fn leads_to(socket: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = UnixStream::connect(&socket) else {
                return;
            };
            let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
            let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        }
    });
    address
}

/// An expression without what leaves out series that are well: a panel may be empty for that reason.
fn whatever_it_is(expression: &str) -> &str {
    [" > 0", " == 1"]
        .iter()
        .find_map(|end| expression.strip_suffix(end))
        .unwrap_or(expression)
}

#[test]
fn every_panel_has_data_from_a_gateway_with_traffic() {
    let featured = Featured::start();
    let prometheus = Prometheus::start(leads_to(&featured.gateway.file("admin.sock")));
    let board: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets = all(&board, &["panels", "targets"]);
    let expressions = targets.iter().map(|target| fill_in(text(target, "expr")));
    let mut left: Vec<String> = expressions.collect();
    assert!(left.len() > 40, "{}", left.len());
    let mut why = Vec::new();
    until("Prometheus has asked twice", || {
        let scrapes = prometheus.values("count_over_time(up{job=\"wiregate\"}[1m])");
        featured.traffic();
        scrapes.is_ok_and(|scrapes| scrapes.first().is_some_and(|count| *count >= 2.0))
    });
    let start = std::time::Instant::now();
    while !left.is_empty() && start.elapsed() < crate::harness::PATIENCE {
        featured.traffic();
        why.clear();
        left.retain(|expression| {
            let values = prometheus.values(whatever_it_is(expression));
            // Not a number: there was nothing to take a share of.
            let shows = (values.as_ref()).is_ok_and(|all| all.iter().any(|value| !value.is_nan()));
            if !shows {
                why.push(format!("{expression}: {values:?}"));
            }
            !shows
        });
    }
    assert!(left.is_empty(), "{why:#?}");
}

#[test]
fn panels_lie_beside_each_other_and_say_what_they_are() {
    let board: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 36);
    let panels = all(&board, &["panels"]);
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in &panels {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}");
        for column in x..x + w {
            for line in y..y + h {
                assert!(
                    taken.insert((column, line)),
                    "{title} lies over another one"
                );
            }
        }
        let kind = text(panel, "type");
        let targets = all(panel, &["targets"]);
        if kind == "row" {
            assert!(targets.is_empty(), "{title}");
            continue;
        }
        assert!(["stat", "timeseries"].contains(&kind), "{title}: {kind}");
        assert!(
            !text(panel, "description").is_empty() && !targets.is_empty(),
            "{title}"
        );
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title} has no unit"
        );
        let mut letters = BTreeSet::new();
        for target in targets {
            assert!(letters.insert(text(target, "refId")), "{title}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert_eq!(target["datasource"]["type"], "prometheus", "{title}");
        }
    }
    assert!(panels.len() > 30);
}

#[test]
fn each_metric_is_in_an_alert_or_a_panel_or_is_for_something_else() {
    let (board, rules) = (
        serde_json::from_str::<Value>(&read(DASHBOARD)).unwrap(),
        yaml(ALERTS),
    );
    let targets = all(&board, &["panels", "targets"]);
    let notes = all(&board["annotations"], &["list"]);
    let rules = all(&rules, &["groups", "rules"]);
    let names: BTreeSet<String> = (targets.iter().chain(&notes).chain(&rules))
        .flat_map(|one| asked(text(one, "expr")))
        .map(|(name, _)| name)
        .collect();
    let looked_at = |name: &str| {
        let ends = ["", "_bucket", "_count", "_sum"];
        ends.iter()
            .any(|end| names.contains(&format!("{name}{end}")))
    };
    let families = GROUPS.iter().flat_map(|group| group.families);
    let mut unseen: BTreeSet<&str> = families
        .map(|family| family.name)
        .filter(|name| !looked_at(name))
        .collect();
    for name in ELSEWHERE {
        assert!(unseen.remove(name), "{name} is looked at, or is none");
    }
    assert!(unseen.is_empty(), "nobody looks at {unseen:#?}");
}
