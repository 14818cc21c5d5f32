//! Upgrades that come to nothing, and processes that break off: the one that serves goes on.

use std::net::TcpStream;
use std::time::Duration;

use super::super::harness::{Gateway, complete, curl, echo, until, upstream};
use super::super::peers::Client;
use super::keeper::Keeper;
use super::{
    Process, ROUTE, exchange, exchangeable, more, restore, under_load, upgrade, who, write,
};

/// A program that says who it is, and then does nothing.
const HANGS: &str = "echo $$ > new.pid; exec sleep 600";

/// The process that a script has told of.
pub fn new_process(gateway: &Gateway) -> Process {
    let mut pid = None;
    until("the new process runs", || {
        let text = std::fs::read_to_string(gateway.file("new.pid")).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    });
    Process(pid.unwrap())
}

/// Long enough to see that a process which has nothing else to do waits for something.
fn stays(process: &Process, why: &str) {
    for _ in 0..30 {
        assert!(process.runs(), "{why}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_new_process_that_ends_hangs_or_is_none_changes_nothing() {
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    under_load(&gateway, |answered| {
        for (script, more_words, why) in [
            ("exit 3", "60s", "the new process has ended: exit code 3"),
            ("kill -9 $$", "60s", "the new process has ended: signal 9"),
            (
                "exec sleep 600",
                "300ms",
                "the new process was not ready in time",
            ),
            (
                "head -c 1 > /dev/null; exit 0",
                "60s",
                "the new process has ended: exit code 0",
            ),
            ("exec head -c 3 >&0", "60s", "the new process"),
        ] {
            exchange(&gateway, script);
            let said = upgrade(&gateway, &["--deadline", more_words]).unwrap_err();
            assert!(
                said.contains(&format!("the upgrade is off: {why}")),
                "{script}: {said}"
            );
            assert_eq!(who(&gateway), gateway.pid());
            more(answered);
        }
        std::fs::remove_file(gateway.file("wiregate")).unwrap();
        let said = upgrade(&gateway, &[]).unwrap_err();
        assert!(
            said.contains("cannot start") && said.contains("/wiregate"),
            "{said}"
        );
        more(answered);
    });
    restore(&gateway);
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(who(&gateway), new.0);
}

#[test]
fn a_configuration_that_the_new_process_refuses_is_told_with_its_places() {
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    write(&gateway.file("wiregate.yaml"), "version: 1\nlistners: {}\n");
    let said = upgrade(&gateway, &[]).unwrap_err();
    assert!(
        said.contains("the new process refuses the configuration"),
        "{said}"
    );
    assert!(
        said.contains("wiregate.yaml:2:1") && said.contains("listners"),
        "{said}"
    );
    assert_eq!(who(&gateway), gateway.pid());
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn an_address_that_the_new_process_cannot_bind_is_told() {
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let text = std::fs::read_to_string(gateway.file("wiregate.yaml")).unwrap();
    let more = format!("listeners: {{ other: {{ bind: \"{taken}\" }}, ");
    write(
        &gateway.file("wiregate.yaml"),
        &text.replace("listeners: {", &more),
    );
    let said = upgrade(&gateway, &[]).unwrap_err();
    assert!(
        said.contains(&format!("listener `other` cannot bind {taken}")),
        "{said}"
    );
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn reloads_and_upgrades_are_refused_while_one_is_under_way() {
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    exchange(&gateway, HANGS);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| upgrade(&gateway, &["--deadline", "3s"]));
        let _new = new_process(&gateway);
        let refused = gateway.admin("POST", "/reload");
        assert_eq!(refused.status, 422);
        assert!(
            refused
                .text()
                .contains("another process is about to take over")
        );
        let second = upgrade(&gateway, &[]).unwrap_err();
        assert!(second.contains("another upgrade is under way"), "{second}");
        // What the file says is taken live when it is over.
        gateway.write(&(upstream(&origin) + &ROUTE.replace("all", "later")));
        let first = first.join().unwrap().unwrap_err();
        assert!(first.contains("not ready in time"), "{first}");
    });
    until("the change is live", || {
        gateway.admin("GET", "/config").text().contains("later")
    });
}

#[test]
fn term_during_an_upgrade_ends_both() {
    let origin = echo();
    let mut gateway = exchangeable(&(upstream(&origin) + ROUTE));
    exchange(&gateway, HANGS);
    let new = std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&gateway, &[]));
        let new = new_process(&gateway);
        gateway.signal("TERM");
        let why = upgrading.join().unwrap().unwrap_err();
        assert!(why.contains("the new process was given up"), "{why}");
        new
    });
    assert_eq!(gateway.wait().code(), Some(0));
    until("the new process is gone", || !new.runs());
}

#[test]
fn an_old_process_that_is_killed_takes_the_new_one_along() {
    // The first check takes its time, and the new process waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let text = format!(
        "limits: {{ start_deadline: 1m }}\nupstreams: {{ app: {{ endpoints: [\"{address}\"], \
         health: {{ http: /, every: 2m, timeout: 1m }} }} }}\n{ROUTE}"
    );
    let folder = tempfile::tempdir().unwrap();
    let fast = text.replace(", health: { http: /, every: 2m, timeout: 1m }", "");
    write(
        &folder.path().join("wiregate.yaml"),
        &complete(folder.path(), &fast, "{}"),
    );
    let mut gateway = super::start_in(folder, |_| {});
    write(
        &gateway.file("wiregate.yaml"),
        &complete(gateway.folder(), &text, "{}"),
    );
    exchange(
        &gateway,
        &format!(
            "echo $$ > new.pid; exec {} \"$@\"",
            env!("CARGO_BIN_EXE_wiregate")
        ),
    );
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&gateway, &[]));
        let new = new_process(&gateway);
        assert!(new.runs());
        gateway.signal("KILL");
        assert!(
            upgrading
                .join()
                .unwrap()
                .unwrap_err()
                .contains("cannot be asked")
        );
        until("the new process is gone", || !new.runs());
    });
    assert!(!gateway.wait().success());
}

#[test]
fn a_new_process_that_is_killed_after_it_has_taken_over_ends_the_old_one_with_a_failure() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let _in_flight = keeper.asked(&gateway);
    let new = upgrade(&gateway, &[]).unwrap();
    new.signal("KILL");
    assert_eq!(
        gateway.wait().code(),
        Some(1),
        "whoever watches it starts it anew"
    );
    gateway.tells("which has taken over, has ended");
}

#[test]
fn an_old_process_that_is_killed_while_it_finishes_does_not_matter_to_the_new_one() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let _in_flight = keeper.asked(&gateway);
    let new = upgrade(&gateway, &[]).unwrap();
    gateway.signal("KILL");
    assert!(!gateway.wait().success());
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    new.signal("TERM");
    until("it ends", || !new.runs());
}

#[test]
fn a_new_process_that_is_told_to_stop_waits_for_the_old_one() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let in_flight = keeper.asked(&gateway);
    let new = upgrade(&gateway, &[]).unwrap();
    new.signal("TERM");
    until("nobody accepts", || {
        TcpStream::connect(gateway.address()).is_err()
    });
    stays(&new, "what the old one does is not cut off by systemd");
    keeper.answer(in_flight);
    assert_eq!(gateway.wait().code(), Some(0));
    until("it ends", || !new.runs());
}

#[test]
fn a_second_upgrade_during_the_drain_of_the_first() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let in_flight = keeper.asked(&gateway);
    let second = upgrade(&gateway, &[]).unwrap();
    let third = upgrade(&gateway, &[]).unwrap();
    assert_ne!(second.0, third.0);
    assert_eq!(who(&gateway), third.0);
    let why = "it has nothing to finish, but tells the third what the first one purges";
    stays(&second, why);
    keeper.answer(in_flight);
    assert_eq!(gateway.wait().code(), Some(0));
    until("the second ends", || !second.runs());
    assert_eq!(Client::new(&gateway).get("/", &[]).status, 200);
}

#[test]
fn a_process_that_has_handed_over_can_be_killed_and_nobody_minds() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let in_flight = keeper.asked(&gateway);
    let second = upgrade(&gateway, &[]).unwrap();
    let third = upgrade(&gateway, &[]).unwrap();
    second.signal("KILL");
    until("it is gone", || !second.runs());
    keeper.answer(in_flight);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    assert_eq!(who(&gateway), third.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn the_newest_of_three_that_is_told_to_stop_waits_for_the_oldest() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let in_flight = keeper.asked(&gateway);
    let _second = upgrade(&gateway, &[]).unwrap();
    let third = upgrade(&gateway, &[]).unwrap();
    third.signal("TERM");
    until("nobody accepts", || {
        TcpStream::connect(gateway.address()).is_err()
    });
    stays(&third, "systemd would kill the oldest with it");
    keeper.answer(in_flight);
    assert_eq!(gateway.wait().code(), Some(0));
    until("the newest ends", || !third.runs());
}

#[test]
fn the_newest_of_four_waits_for_the_oldest_where_those_between_were_killed() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let in_flight = keeper.asked(&gateway);
    let second = upgrade(&gateway, &[]).unwrap();
    let third = upgrade(&gateway, &[]).unwrap();
    second.signal("KILL");
    until("the second is gone", || !second.runs());
    // It begins when the second one is gone, and hears of the first one alone.
    let fourth = upgrade(&gateway, &[]).unwrap();
    third.signal("KILL");
    until("the third is gone", || !third.runs());
    fourth.signal("TERM");
    until("nobody accepts", || {
        TcpStream::connect(gateway.address()).is_err()
    });
    stays(&fourth, "systemd would kill the oldest with it");
    keeper.answer(in_flight);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    until("the newest ends", || !fourth.runs());
}

#[test]
fn a_process_that_is_killed_while_it_upgrades_ends_the_one_before_it_with_a_failure() {
    let keeper = Keeper::default();
    let mut gateway = exchangeable(&keeper.configuration());
    let _in_flight = keeper.asked(&gateway);
    let second = upgrade(&gateway, &[]).unwrap();
    exchange(&gateway, HANGS);
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrade(&gateway, &[]));
        // It has heard nothing yet, and would not notice either.
        let _third = new_process(&gateway);
        second.signal("KILL");
        assert!(upgrading.join().unwrap().is_err());
        until("the first has noticed", || {
            gateway.log().contains("which has taken over, has ended")
        });
    });
    assert_eq!(gateway.wait().code(), Some(1), "somebody is to serve");
}
