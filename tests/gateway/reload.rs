//! New configurations: how they are noticed, taken live or refused.

mod load;
mod state;

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
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
    let told = gateway.log();
    assert!(
        told.contains("the new configuration is refused, the running one stays"),
        "{told}"
    );
    assert!(told.contains("wiregate.yaml:"), "{told}");
    gateway.write(&answers("two"));
    until("the repaired one is live", || says(&gateway, "two"));
    until("the metrics say so", || {
        gateway.metric("wiregate_config_last_reload_successful") == 1.0
    });
    assert_eq!(gateway.metric("wiregate_config_generation"), 2.0);
    let after = gateway.metric("wiregate_config_last_reload_success_timestamp_seconds");
    assert!(after >= before);
}

#[test]
fn a_file_that_was_gone_for_a_while_is_noticed_when_it_is_back() {
    let gateway = Gateway::start(&answers("one"));
    std::fs::remove_file(gateway.file("wiregate.yaml")).unwrap();
    until("the problem is told", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert!(says(&gateway, "one"));
    gateway.write(&answers("two"));
    until("it is back", || says(&gateway, "two"));
}

#[test]
fn included_files_are_watched_also_those_that_appear() {
    let gateway = Gateway::start(&(answers("main") + "include: conf.d/*.yaml\n"));
    let route = |name: &str, body: &str| {
        format!(
            "routes: [{{ name: {name}, match: {{ path: /{name} }}, filters: [respond: {body}] }}]\n"
        )
    };
    let get = |name: &str| curl(&[&gateway.url(&format!("/{name}"))]).text();
    let folder = gateway.file("conf.d");
    for round in ["first", "second"] {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), route("a", round)).unwrap();
        until("the new file is read", || get("a") == round);
        std::fs::write(folder.join("b.yaml"), route("b", round)).unwrap();
        until("another one is read", || get("b") == round);
        std::fs::write(folder.join("a.yaml"), route("a", "changed")).unwrap();
        until("its change is read", || get("a") == "changed");
        std::fs::remove_dir_all(&folder).unwrap();
        until("they are gone", || get("a") == "main" && get("b") == "main");
    }
}

fn key(secret: &Path) -> String {
    let secret = secret.display();
    format!(
        "routes: [{{ name: all, filters: [api_key: {{ keys: [{{ name: a, key: \"${{file:{secret}}}\" }}] }}, \
         respond: ok] }}]\n"
    )
}

fn with_key(gateway: &Gateway, key: &str) -> u16 {
    curl(&["-H", &format!("x-api-key: {key}"), &gateway.url("/")]).status
}

#[test]
fn a_secret_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "first-of-the-keys\n").unwrap();
    let gateway = Gateway::start(&key(&secret));
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 200);
    std::fs::write(&secret, "second-of-the-keys\n").unwrap();
    until("the new secret is in force", || {
        with_key(&gateway, "second-of-the-keys") == 200
    });
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 401);
    // Without it the configuration is refused; the running one keeps it.
    std::fs::remove_file(&secret).unwrap();
    until("the problem is told", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert_eq!(with_key(&gateway, "second-of-the-keys"), 200);
    std::fs::write(&secret, "third-of-the-keys\n").unwrap();
    until("it is back", || {
        with_key(&gateway, "third-of-the-keys") == 200
    });
}

/// A folder as a configuration map of Kubernetes is mounted: `name -> ..data/name`, and
/// `..data -> ..VERSION`, which is replaced to bring all files at once.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let versioned = folder.join(version);
    std::fs::create_dir(&versioned).unwrap();
    for (name, text) in files {
        std::fs::write(versioned.join(name), text).unwrap();
        let link = folder.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn a_configuration_map_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    let secret = conf.join("secret");
    let text = complete(folder.path(), &key(&secret), "{}");
    mount(
        &conf,
        "..v1",
        &[("wiregate.yaml", &text), ("secret", "first-of-the-keys")],
    );
    let gateway = Gateway::start_file(folder, &conf.join("wiregate.yaml"));
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 200);
    mount(
        &conf,
        "..v2",
        &[("wiregate.yaml", &text), ("secret", "other-of-the-keys")],
    );
    std::fs::remove_dir_all(conf.join("..v1")).unwrap();
    until("the new version is live", || {
        with_key(&gateway, "other-of-the-keys") == 200
    });
    mount(
        &conf,
        "..v3",
        &[("wiregate.yaml", &text), ("secret", "third-of-the-keys")],
    );
    until("the one after it as well", || {
        with_key(&gateway, "third-of-the-keys") == 200
    });
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
