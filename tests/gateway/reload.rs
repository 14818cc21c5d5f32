//! New configurations: how they are noticed, taken live or refused.

mod files;
mod load;
mod state;

use std::io::{Read, Write};
use std::path::Path;
use std::process::Output;

use super::harness::{Gateway, complete, curl, until, wiregate};

fn answers(body: &str) -> String {
    format!("routes: [{{ name: all, filters: [respond: \"{body}\"] }}]\n")
}

fn says(gateway: &Gateway, body: &str) -> bool {
    curl(&[&gateway.url("/")]).text() == body
}

/// Runs `wiregate reload --wait` for the gateway's own file.
fn command(gateway: &Gateway) -> (String, String, Option<i32>) {
    let file = gateway.file("wiregate.yaml");
    let mut command = wiregate(&["reload", "--wait", "--config", file.to_str().unwrap()]);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

#[test]
fn an_edit_takes_effect_by_itself() {
    let gateway = Gateway::start(&answers("one"));
    assert!(says(&gateway, "one"));
    gateway.write(&answers("two"));
    until("the edit is live", || says(&gateway, "two"));
    // In place, as `echo >` and some editors do.
    let text = complete(gateway.folder(), &answers("three"), "{}");
    std::fs::write(gateway.file("wiregate.yaml"), text).unwrap();
    until("the edit in place is live", || says(&gateway, "three"));
}

#[test]
fn an_edit_is_noticed_while_the_access_log_grows_beside_it() {
    let gateway = Gateway::start(&answers("one"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                curl(&[&gateway.url("/")]);
            }
        });
        gateway.access_log(3);
        gateway.write(&answers("two"));
        until("the edit is live", || says(&gateway, "two"));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // Neither the log nor the socket beside the file made the gateway read it again.
    assert_eq!(gateway.metric("wiregate_config_generation"), 2.0);
}

#[test]
fn a_signal_makes_it_read_again() {
    let gateway = Gateway::start(&answers("one"));
    gateway.signal("HUP");
    // Nothing has changed in the file: only the signal counts up.
    until("the signal is followed", || {
        gateway.metric("wiregate_config_generation") == 2.0
    });
    assert!(says(&gateway, "one"));
}

#[test]
fn the_reload_command_says_what_came_of_it() {
    let gateway = Gateway::start(&answers("one"));
    gateway.write(&answers("two"));
    let (text, said, code) = command(&gateway);
    assert_eq!(code, Some(0), "{said}");
    let generation = text.strip_prefix("configuration ").unwrap();
    let generation = generation.strip_suffix(" is live\n").unwrap();
    assert!(generation.parse::<u64>().unwrap() >= 2, "{text}");
    assert!(says(&gateway, "two"));

    gateway.write("routes: [{ name: all, filtres: [respond: three] }]\n");
    let (text, said, code) = command(&gateway);
    assert_eq!((text.as_str(), code), ("", Some(78)));
    for expected in [
        "error: unknown key `filtres`\n",
        "wiregate.yaml:5:23\n",
        "5 | routes: [{ name: all, filtres: [respond: three] }]\n",
        "= help: did you mean `filters`?\n",
        "1 problem in 1 file\n",
        "wiregate: the new configuration is refused, the running one stays\n",
    ] {
        assert!(said.contains(expected), "{expected:?} in {said}");
    }
    assert!(says(&gateway, "two"));
}

#[test]
fn without_waiting_the_reload_command_leaves_the_outcome_to_the_log() {
    let gateway = Gateway::start(&answers("one"));
    let file = gateway.file("wiregate.yaml");
    // A breakage that the watcher would notice as well: the command says nothing of it either way.
    gateway.write("nonsense: 1\n");
    let mut command = wiregate(&["reload", "--config", file.to_str().unwrap()]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(said, "the gateway reads its configuration again\n");
    until("the log tells", || {
        gateway.log().contains("the new configuration is refused")
    });
    assert!(says(&gateway, "one"));
    let answer = gateway.admin("POST", "/reload?wait=false");
    assert_eq!(answer.status, 202);
}

#[test]
fn the_reload_command_says_when_nobody_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.yaml");
    let run = || {
        let output = wiregate(&["reload", "--config", file.to_str().unwrap()]).output();
        let output = output.unwrap();
        (
            String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    };
    std::fs::write(&file, complete(folder.path(), &answers("x"), "{}")).unwrap();
    let (said, code) = run();
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("wiregate: the gateway cannot be asked: "),
        "{said}"
    );
    std::fs::write(&file, "version: 1\n").unwrap();
    let (said, code) = run();
    assert_eq!(code, Some(1));
    assert!(said.contains("has no `admin: { bind: … }`"), "{said}");
    std::fs::write(&file, "version: [\n").unwrap();
    let (said, code) = run();
    assert_eq!(code, Some(78));
    assert!(said.contains("w.yaml:"), "{said}");
}

#[test]
fn the_admin_api_takes_live_or_refuses() {
    let gateway = Gateway::start(&answers("one"));
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(
        (answer.status, answer.json()["generation"].as_u64()),
        (200, Some(2))
    );
    gateway.write(&(answers("two") + "wrong: 1\n"));
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422);
    let problem = &answer.json()["problems"][0];
    assert_eq!(problem["message"], "unknown key `wrong`");
    assert_eq!(
        (problem["line"].as_u64(), problem["column"].as_u64()),
        (Some(6), Some(1))
    );
    assert_eq!(gateway.admin("GET", "/reload").status, 405);
    for path in ["/reload?wiat=false", "/reload?wait=0", "/config?format=yml"] {
        let method = if path.starts_with("/reload") {
            "POST"
        } else {
            "GET"
        };
        assert_eq!(gateway.admin(method, path).status, 400, "{path}");
    }
    assert!(says(&gateway, "one"));
}

/// How nice the threads of this name are (`proc_pid_stat(5)`, field 19).
fn nice(gateway: &Gateway, name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let of_thread = |stat: String| {
        let (before, fields) = stat.rsplit_once(") ")?;
        before
            .ends_with(&format!("({name}"))
            .then(|| fields.split(' ').nth(16)?.parse().ok())?
    };
    stats.filter_map(of_thread).collect()
}

#[test]
fn only_the_reload_makes_way_and_not_what_it_starts() {
    let gateway = Gateway::start(&answers("one"));
    let usual = nice(&gateway, "access-log");
    let file = gateway.file("wiregate.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("access.log\" }", "access.log\", format: text }");
    let folder = gateway.file("cache");
    let more = format!(
        "traces: {{ endpoint: \"http://127.0.0.1:9/v1/traces\" }}\n\
         caches: {{ pages: {{ disk: {{ path: {}, size: 64MiB }} }} }}\n",
        folder.display()
    );
    std::fs::write(&file, text + &more).unwrap();
    until("it is live", || {
        gateway.metric("wiregate_config_generation") == 2.0
    });
    for name in ["access-log", "traces", "cache-write"] {
        until(name, || nice(&gateway, name) == usual);
    }
}

#[test]
fn a_broken_configuration_is_refused_told_and_repaired() {
    let gateway = Gateway::start(&answers("one"));
    let before = gateway.metric("wiregate_config_last_reload_success_timestamp_seconds");
    assert!(before > 1.6e9, "{before}");
    assert_eq!(
        gateway.metric("wiregate_config_last_reload_successful"),
        1.0
    );
    gateway.write("routes: [{ name: all, filters: [");
    until("the problem is told", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert!(says(&gateway, "one"));
    assert_eq!(gateway.metric("wiregate_config_generation"), 1.0);
    until("the log tells it, and where", || {
        let told = gateway.log();
        let mut lines = told.lines();
        lines.any(|line| {
            line.contains("the new configuration is refused, the running one stays")
                && line.contains("wiregate.yaml:")
        })
    });
    gateway.write(&answers("two"));
    until("the repaired one is live", || says(&gateway, "two"));
    until("the metrics say so", || {
        gateway.metric("wiregate_config_last_reload_successful") == 1.0
    });
    assert_eq!(gateway.metric("wiregate_config_generation"), 2.0);
    let after = gateway.metric("wiregate_config_last_reload_success_timestamp_seconds");
    assert!(after >= before);
}

/// Answers one request to the admin API as another version would; returns what was asked.
fn other_version(
    folder: &Path,
    status: &'static str,
    body: &'static str,
) -> std::thread::JoinHandle<String> {
    let path = folder.join("admin.sock");
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut byte) = (Vec::new(), [0]);
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    })
}

#[test]
fn the_reload_command_knows_what_a_version_says_that_waits_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), &answers("x"), "{}")).unwrap();
    for (status, body, code, out, err) in [
        (
            "200 OK",
            "{\"generation\":7}",
            0,
            "configuration 7 is live\n",
            "",
        ),
        (
            "422 Unprocessable Content",
            "{\"problems\":[],\"text\":\"it is wrong\\n\"}",
            78,
            "",
            "it is wrong\nwiregate: the new configuration is refused, the running one stays\n",
        ),
        (
            "500 Internal Server Error",
            "the reload failed\n",
            1,
            "",
            "wiregate: the gateway answered 500: the reload failed\n",
        ),
    ] {
        let other = other_version(folder.path(), status, body);
        let mut command = wiregate(&["reload", "--config", file.to_str().unwrap()]);
        let output = command.output().unwrap();
        assert!(other.join().unwrap().contains("/reload?wait=false"));
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        assert_eq!(
            (output.status.code(), said),
            (Some(code), [out, err].map(str::to_owned))
        );
    }
}
