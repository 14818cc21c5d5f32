//! Signals at whatever moment they come: there is one that serves, or a failure that whoever watches the
//! service sees.

use std::net::TcpStream;
use std::time::Duration;

use super::super::harness::{Gateway, complete, curl, echo, until, upstream};
use super::faults::new_process;
use super::keeper::Keeper;
use super::{Process, ROUTE, exchange, exchangeable, upgrade, who, write};

/// A program that says who it is, and then is the real one.
fn telling() -> String {
    format!(
        "echo $$ > new.tmp; mv new.tmp new.pid; exec {} \"$@\"",
        env!("CARGO_BIN_EXE_wiregate")
    )
}

#[test]
fn a_new_process_that_is_killed_at_any_moment_leaves_one_that_serves_or_a_failure() {
    let keeper = Keeper::default();
    let text = keeper.configuration();
    let (mut off, mut over) = (0, 0);
    let start = || {
        let gateway = exchangeable(&text);
        let in_flight = keeper.asked(&gateway);
        (gateway, in_flight)
    };
    let mut gateway: Option<(Gateway, TcpStream)> = None;
    // The last one comes when all is done.
    for millis in [0, 40, 80, 120, 160, 240, 400, 2500] {
        let (mut present, in_flight) = gateway.take().unwrap_or_else(start);
        exchange(&present, &telling());
        let outcome = std::thread::scope(|scope| {
            let upgrading = scope.spawn(|| upgrade(&present, &[]));
            let new = new_process(&present);
            std::thread::sleep(Duration::from_millis(millis)); // the moment
            new.signal("KILL");
            upgrading.join().unwrap()
        });
        std::fs::remove_file(present.file("new.pid")).unwrap();
        match outcome {
            Err(why) => {
                off += 1;
                assert!(why.contains("the upgrade is off"), "{why}");
                assert_eq!(who(&present), present.pid(), "after {millis} ms");
                assert_eq!(curl(&[&present.url("/")]).status, 200);
                gateway = Some((present, in_flight));
            }
            Ok(new) => {
                over += 1;
                until("it is gone", || !new.runs());
                assert_eq!(present.wait().code(), Some(1), "after {millis} ms");
            }
        }
    }
    assert!(off > 0 && over > 0, "{off} {over}");
}

#[test]
fn an_old_process_that_is_killed_at_any_moment_leaves_one_that_serves_or_none() {
    let keeper = Keeper::default();
    let text = keeper.configuration();
    let (mut none, mut one) = (0, 0);
    for millis in [0, 60, 120, 200, 300, 2500] {
        let mut gateway = exchangeable(&text);
        exchange(&gateway, &telling());
        let _in_flight = keeper.asked(&gateway);
        let new = std::thread::scope(|scope| {
            let upgrading = scope.spawn(|| upgrade(&gateway, &[]).map(Process::keep));
            let new = new_process(&gateway);
            std::thread::sleep(Duration::from_millis(millis)); // the moment
            gateway.signal("KILL");
            drop(upgrading.join().unwrap());
            new
        });
        assert!(!gateway.wait().success());
        // Either it has taken over, or it goes: whoever watches the service starts another one.
        let serves = || curl(&["--max-time", "1", &gateway.url("/")]).status == 200;
        let mut served = false;
        until("there is one that serves, or none", || {
            served = new.runs() && serves();
            served || !new.runs()
        });
        match served {
            true => {
                one += 1;
                new.signal("TERM");
                until("it ends in order", || !new.runs());
            }
            false => none += 1,
        }
        assert!(TcpStream::connect(gateway.address()).is_err());
    }
    assert!(none > 0 && one > 0, "{none} {one}");
}

#[test]
fn the_new_process_is_ready_when_it_has_taken_over_whatever_is_not_known_by_then() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    // An endpoint that never answers its first check.
    let text = format!(
        "limits: {{ start_deadline: 2s }}\nupstreams: {{ app: {{ endpoints: [\"{address}\"], \
         health: {{ http: /, every: 2m, timeout: 1m }} }} }}\n{ROUTE}"
    );
    write(
        &gateway.file("wiregate.yaml"),
        &complete(gateway.folder(), &text, "{}"),
    );
    let new = upgrade(&gateway, &[]).unwrap();
    let ready = gateway.admin("GET", "/readyz?verbose");
    assert_eq!((ready.status, &ready.json()["pid"]), (200, &new.0.into()));
}

#[test]
fn a_signal_for_a_gateway_that_runs_ends_none_that_starts() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever looks names up has to wait for an answer that does not come.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap();
    let text = format!(
        "dns: {{ servers: [\"{server}\"], timeout: 3s }}\n\
         upstreams: {{ app: {{ endpoints: [\"name.test:80\"] }} }}\n{ROUTE}"
    );
    write(
        &folder.path().join("wiregate.yaml"),
        &complete(folder.path(), &text, "{}"),
    );
    let (told, signalled) = std::sync::mpsc::channel::<u32>();
    let signalling = std::thread::spawn(move || {
        let pid = signalled.recv().unwrap();
        // It has asked: it is in the middle of its start.
        silent.recv(&mut [0; 512]).unwrap();
        for name in ["HUP", "USR1", "USR2"] {
            Process(pid).keep().signal(name);
        }
    });
    let pid = folder.path().join("pid");
    let command = format!(
        "echo $$ > {}; exec {} run --config wiregate.yaml",
        pid.display(),
        env!("CARGO_BIN_EXE_wiregate")
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &command]).env("NO_COLOR", "1");
    let telling = std::thread::spawn(move || {
        until("it has begun", || {
            let text = std::fs::read_to_string(&pid).unwrap_or_default();
            let pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
            pid.is_some_and(|pid| told.send(pid).is_ok())
        });
    });
    let gateway = Gateway::start_command(folder, shell, |_| {});
    telling.join().unwrap();
    signalling.join().unwrap();
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
}
