//! Upgrades with other listeners, other workers, and more sockets than fit into one message.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::super::harness::{Gateway, curl, until, wiregate};
use super::{Process, start_in, upgrade, who, write};

const ROUTE: &str = "routes: [{ name: all, filters: [respond: 204] }]\n";

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A configuration with these listeners, and as many workers.
fn text(gateway: &std::path::Path, listeners: &str, workers: usize, admin: &str) -> String {
    let folder = gateway.display();
    format!(
        "version: 1\nworkers: {workers}\nlisteners: {{ {listeners} }}\n\
         admin: {{ bind: \"unix:{folder}/{admin}\" }}\naccess_log: off\n{ROUTE}"
    )
}

fn start(listeners: &str, workers: usize) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let configuration = text(folder.path(), listeners, workers, "admin.sock");
    write(&folder.path().join("wiregate.yaml"), &configuration);
    start_in(folder, |_| {})
}

fn change(gateway: &Gateway, listeners: &str, workers: usize) -> Process {
    let configuration = text(gateway.folder(), listeners, workers, "admin.sock");
    // Nobody may take it live before the upgrade does.
    write(&gateway.file("next.yaml"), &configuration);
    std::fs::rename(gateway.file("next.yaml"), gateway.file("wiregate.yaml")).unwrap();
    upgrade(gateway, &[]).unwrap()
}

fn answers(address: SocketAddr) -> bool {
    curl(&[&format!("http://{address}/")]).status == 204
}

#[test]
fn three_hundred_listeners_go_over() {
    let all: Vec<_> = (0..300)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<SocketAddr> = all.iter().map(|one| one.local_addr().unwrap()).collect();
    drop(all);
    let listeners: Vec<String> = (addresses.iter().enumerate())
        .map(|(n, address)| format!("l{n}: {{ bind: \"{address}\" }}"))
        .collect();
    let mut gateway = start(&listeners.join(", "), 1);
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(new.descriptors() > 300);
    for address in addresses.iter().step_by(29).chain(addresses.last()) {
        assert!(answers(*address), "{address}");
    }
}

#[test]
fn listeners_come_go_and_change_their_names() {
    let (stays, goes, comes) = (free(), free(), free());
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| folder.path().join(name).display().to_string();
    let (kept, left) = (socket("kept.sock"), socket("left.sock"));
    let mut gateway = start(
        &format!(
            "a: {{ bind: \"{stays}\" }}, b: {{ bind: \"{goes}\" }}, \
             u: {{ bind: \"unix:{kept}\" }}, v: {{ bind: \"unix:{left}\" }}"
        ),
        2,
    );
    let new = change(
        &gateway,
        &format!(
            "other: {{ bind: \"{stays}\" }}, c: {{ bind: \"{comes}\" }}, u: {{ bind: \"unix:{kept}\" }}"
        ),
        2,
    );
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(answers(stays) && answers(comes));
    assert!(TcpStream::connect(goes).is_err());
    assert!(!std::path::Path::new(&left).exists());
    assert_eq!(curl(&["--unix-socket", &kept, "http://a/"]).status, 204);
    new.signal("TERM");
    until("it ends", || !new.runs());
    assert!(!std::path::Path::new(&kept).exists());
}

#[test]
fn fewer_and_more_workers_accept_from_every_socket() {
    let address = free();
    let listener = format!("a: {{ bind: \"{address}\" }}");
    let gateway = start(&listener, 4);
    let mut former: Option<Process> = None;
    for workers in [1, 3, 6] {
        let new = change(&gateway, &listener, workers);
        if let Some(former) = former.take() {
            until("the former has ended", || !former.runs());
        }
        // The kernel spreads them over all sockets of the address: one that nobody accepts from
        // would leave some without an answer.
        for _ in 0..64 {
            assert!(answers(address), "{workers}");
        }
        former = Some(new);
    }
}

#[test]
fn the_admin_api_moves_to_where_the_new_process_wants_it() {
    let address = free();
    let mut gateway = start(&format!("a: {{ bind: \"{address}\" }}"), 1);
    let listener = format!("a: {{ bind: \"{address}\" }}");
    let configuration = text(gateway.folder(), &listener, 1, "other.sock");
    write(&gateway.file("wiregate.yaml"), &configuration);
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!gateway.file("admin.sock").exists());
    let other = gateway.file("other.sock").display().to_string();
    let answer = curl(&["--unix-socket", &other, "http://localhost/readyz?verbose"]);
    assert_eq!(answer.json()["pid"], new.0);
}

#[test]
fn the_metrics_listener_goes_over_with_what_waits_in_it() {
    let (address, metrics) = (free(), free());
    let listener = format!("a: {{ bind: \"{address}\" }}");
    let folder = tempfile::tempdir().unwrap();
    let configuration = text(folder.path(), &listener, 1, "admin.sock")
        + &format!("metrics: {{ bind: \"{metrics}\" }}\n");
    write(&folder.path().join("wiregate.yaml"), &configuration);
    let mut gateway = start_in(folder, |_| {});
    let url = format!("http://{metrics}/readyz?verbose");
    let again = url.clone();
    let pid = move || curl(&[&again]).json()["pid"].as_u64().unwrap();
    assert_eq!(pid(), u64::from(gateway.pid()));
    // Whoever asks meanwhile is answered, by one of the two.
    let asking = std::thread::spawn(move || {
        let answers = (0..200).map(|_| curl(&[&url]).status);
        answers.filter(|status| *status != 200).collect::<Vec<_>>()
    });
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(asking.join().unwrap(), [0_u16; 0], "other answers than 200");
    assert_eq!(pid(), u64::from(new.0));
}

#[test]
fn the_metrics_listener_answers_those_that_had_connected_before() {
    let metrics = free();
    let folder = tempfile::tempdir().unwrap();
    let configuration = text(
        folder.path(),
        "a: { bind: \"127.0.0.1:0\" }",
        1,
        "admin.sock",
    ) + &format!("metrics: {{ bind: \"{metrics}\" }}\n");
    write(&folder.path().join("wiregate.yaml"), &configuration);
    let mut gateway = start_in(folder, |_| {});
    let old = gateway.pid();
    let mut early: Vec<_> = (0..16)
        .map(|_| TcpStream::connect(metrics).unwrap())
        .collect();
    // They have been accepted: who came after them was answered.
    let after = curl(&[&format!("http://{metrics}/livez")]).status;
    assert_eq!(after, 200);
    let _new = upgrade(&gateway, &[]).unwrap();
    until("the former process accepts nothing", || {
        let asked = curl(&[&format!("http://{metrics}/readyz?verbose")]).json();
        asked["pid"].as_u64() != Some(u64::from(old))
    });
    for client in &mut early {
        let ask = b"GET /readyz?verbose HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(ask).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["pid"], old);
    }
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_signal_upgrades_as_the_command_does() {
    let address = free();
    let mut gateway = start(&format!("a: {{ bind: \"{address}\" }}"), 1);
    let old = gateway.pid();
    gateway.signal("USR2");
    until("another process answers", || who(&gateway) != old);
    let _new = Process(who(&gateway));
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(answers(address));
}

#[test]
fn a_gateway_that_does_not_run_cannot_be_upgraded() {
    let output = wiregate(&["upgrade", "--admin", "unix:/nowhere.sock"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the gateway cannot be asked"), "{said}");
}
