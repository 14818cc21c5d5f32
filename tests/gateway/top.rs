//! `wiregate top`: in a real terminal, for a pipe, and as JSON.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use super::harness::{Gateway, curl, echo, until, upstream, wiregate};

const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";

fn routes() -> String {
    let answers = (1..=30).map(|n| {
        format!(
            "  - {{ name: answer-{n:02}, match: {{ path: /{n}/** }}, filters: [respond: 204] }}\n"
        )
    });
    let answers = answers.collect::<String>();
    format!(
        "routes:\n  - {{ name: closed, match: {{ path: /closed }}, filters: [ip: {{ deny: 127.0.0.0/8 }}], upstream: app }}\n  \
         - {{ name: open, match: {{ path: /open/** }}, upstream: app }}\n{answers}"
    )
}

fn gateway() -> (Gateway, wiregate::echo::Echo) {
    let origin = echo();
    let gateway = Gateway::start(&format!("{}{}", upstream(&origin), routes()));
    (gateway, origin)
}

/// Sends requests while `watch` runs.
fn under_load<T>(gateway: &Gateway, watch: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for path in ["/open/a", "/open/a?status=503", "/closed", "/1/a"] {
                    curl(&[&gateway.url(path)]);
                }
            }
        });
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(watch));
        stop.store(true, Ordering::Relaxed);
        watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn admin(gateway: &Gateway) -> String {
    format!("unix:{}", gateway.file("admin.sock").display())
}

fn top(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = wiregate(&["top", "--admin", &admin(gateway)]);
    command.args(arguments).output().unwrap()
}

/// A terminal with the program in it.
struct Terminal {
    child: Child,
    master: OwnedFd,
    /// The end that the program has, so that its settings can be looked at.
    slave: File,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(admin: &str, every: &str, (columns, rows): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        resize(&master, columns, rows);
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // In a session of its own, it hears when the terminal changes.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_wiregate"), "top"])
            .args(["--every", every, "--admin", admin])
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (copy, mut read) = (output.clone(), File::from(master.try_clone().unwrap()));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = read.read(&mut buffer) {
                copy.lock().unwrap().extend_from_slice(&buffer[..size]);
            }
        });
        Self {
            child,
            master,
            slave,
            output,
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// The lines of each whole frame so far.
    fn frames(&self) -> Vec<Vec<String>> {
        let output = self.output();
        let frames = output.split(BEGIN).skip(1);
        let frames = frames.filter_map(|frame| frame.split_once(END));
        frames
            .map(|(frame, _)| {
                let lines = frame.split("\x1b[K");
                let lines: Vec<_> = lines.map(|line| line.trim_start().to_owned()).collect();
                lines[..lines.len() - 1].to_vec()
            })
            .collect()
    }

    /// Waits for a frame that is so, and gives it.
    fn frame(&self, what: &str, so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut found = None;
        until(what, || {
            found = self.frames().pop().filter(|frame| so(frame));
            found.is_some()
        });
        found.unwrap()
    }

    fn press(&mut self, keys: &str) {
        let mut master = File::from(self.master.try_clone().unwrap());
        master.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether lines are read as a whole and shown while they are typed.
    fn is_usual(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        until("the terminal is as before", || {
            self.output().ends_with("\x1b[?7h\x1b[?25h\x1b[?1049l")
        });
        assert!(self.is_usual());
        status.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

fn row<'f>(frame: &'f [String], name: &str) -> Option<&'f String> {
    frame.iter().find(|line| line.contains(name))
}

#[test]
fn a_terminal_shows_live_tables_and_obeys_keys() {
    let (gateway, _origin) = gateway();
    for n in 1..=30 {
        curl(&[&gateway.url(&format!("/{n}/a"))]);
    }
    let mut terminal = Terminal::start(&admin(&gateway), "100ms", (100, 20));
    until("the terminal is taken", || !terminal.is_usual());
    let frame = under_load(&gateway, || {
        terminal.frame("there are errors of a route", |frame| {
            row(frame, "open").is_some_and(|line| line.starts_with("\x1b[31m"))
        })
    });
    assert_eq!(frame.len(), 20);
    assert!(
        frame[0].contains(" req/s") && frame[2].contains("ROUTE"),
        "{frame:?}"
    );
    let footer = |frame: &[String]| frame.last().unwrap().clone();
    assert!(
        footer(&frame).contains("sort: requests") && footer(&frame).contains("more lines below")
    );

    terminal.press("sss");
    terminal.frame("it is sorted by name", |frame| {
        footer(frame).contains("sort: name") && frame[3].starts_with("answer-01")
    });
    terminal.press("\x1b[B");
    terminal.frame("it is a line further", |frame| {
        frame[2].starts_with("answer-01")
    });
    // Its last line is there once it has looked after the last of the load: until then the end moves on.
    until("the end is there", || {
        terminal.press("\x1b[F");
        terminal.frames().last().is_some_and(|frame| {
            !footer(frame).contains("more lines below") && row(frame, "ip").is_some()
        })
    });
    terminal.press("\x1b[H");
    resize(&terminal.master, 60, 50);
    let frame = terminal.frame("it has the new size", |frame| frame.len() == 50);
    assert!(row(&frame, "UPSTREAM").is_some());

    terminal.press("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn a_new_size_is_drawn_at_once_and_signals_give_the_terminal_back() {
    let (gateway, _origin) = gateway();
    for signal in ["TERM", "INT", "HUP"] {
        let mut terminal = Terminal::start(&admin(&gateway), "1h", (80, 24));
        until("it waits for the second look", || {
            terminal
                .frames()
                .iter()
                .any(|frame| frame[0].starts_with("one moment"))
        });
        let before = terminal.frames().len();
        resize(&terminal.master, 70, 20);
        until("it is drawn anew", || terminal.frames().len() > before);
        let pid = terminal.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        assert_eq!(terminal.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_gateway_that_is_gone_is_said_to_be_and_what_was_seen_stays() {
    let (mut gateway, _origin) = gateway();
    curl(&[&gateway.url("/1/a")]);
    let mut terminal = Terminal::start(&admin(&gateway), "100ms", (100, 30));
    terminal.frame("the tables are there", |frame| {
        row(frame, "answer-01").is_some()
    });
    gateway.signal("INT");
    gateway.wait();
    let frame = terminal.frame("it is said", |frame| frame[0].starts_with("old: "));
    assert!(
        frame[0].contains("the gateway cannot be asked"),
        "{frame:?}"
    );
    assert!(row(&frame, "answer-01").is_some());
    // Ctrl-C is a key like others here.
    terminal.press("\x03");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn once_prints_the_tables_for_a_pipe() {
    let (gateway, _origin) = gateway();
    let output = under_load(&gateway, || top(&gateway, &["--once", "--every", "1s"]));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    let cells = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no `{name}` in {text}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    let open = cells("open ");
    assert!(number(&open[1]) > 0.0 && number(&open[2]) > 0.0, "{text}");
    let app = cells("app ");
    assert_eq!(app[1..3], ["1/1", "unchecked"], "{text}");
    assert!(number(&app[3]) > 0.0);
    let endpoint = text.lines().find(|line| line.contains("127.0.0.1:"));
    let endpoint: Vec<_> = endpoint.unwrap().split_whitespace().collect();
    assert_eq!((endpoint[0], endpoint[2]), ("app", "unchecked"), "{text}");
    assert!(
        endpoint[4].parse::<u64>().unwrap() > 0,
        "its 503s are errors: {text}"
    );
    let filter = text.lines().find(|line| line.contains(" ip "));
    let filter: Vec<_> = filter.unwrap().split_whitespace().collect();
    assert_eq!(filter[0], "closed", "{text}");
    assert_eq!(filter[2], filter[3], "each run is a refusal: {text}");
}

#[test]
fn json_has_the_same_for_programs() {
    let (gateway, _origin) = gateway();
    // Enough that the time in filters, of which some runs are measured, is there.
    let many = ["-n", "2000", "-c", "4", &gateway.url("/closed")];
    let sent = Command::new("h2load").args(many).output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let output = under_load(&gateway, || top(&gateway, &["--json", "--every", "500ms"]));
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(figures["generation"], 1);
    let number = |of: &Value, name: &str| {
        let number = of[name].as_f64();
        number.unwrap_or_else(|| panic!("no {name} in {figures}"))
    };
    let interval = number(&figures, "interval_seconds");
    assert!(interval >= 0.5);
    let find = |list: &str, name: &str, value: &str| {
        let all = figures[list].as_array().unwrap();
        let found = all.iter().find(|one| one[name] == value);
        found
            .unwrap_or_else(|| panic!("no {value} in {figures}"))
            .clone()
    };
    let open = find("routes", "route", "open");
    assert!(number(&open, "requests_per_second") > 0.0);
    assert!(number(&open, "p99_seconds") > 0.0);
    let app = find("upstreams", "upstream", "app");
    assert_eq!(
        (&app["endpoints"], &app["available"], &app["checked"]),
        (&1.into(), &1.into(), &0.into())
    );
    let endpoint = find("endpoints", "upstream", "app");
    assert_eq!(
        (&endpoint["available"], &endpoint["checked"]),
        (&true.into(), &false.into())
    );
    assert!(endpoint["errors"].as_u64().unwrap() > 0, "{endpoint}");
    let ip = find("filters", "filter", "ip");
    // It refuses all; one may be counted between the two while a look is made.
    let apart = number(&ip, "runs_per_second") - number(&ip, "refusals_per_second");
    assert!(apart.abs() * interval < 1.5, "{figures}");
    assert!(number(&ip, "seconds_per_run") > 0.0);
}

#[test]
fn what_cannot_be_is_said() {
    let (gateway, _origin) = gateway();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let piped = top(&gateway, &[]);
    assert_eq!(piped.status.code(), Some(1));
    assert_eq!(
        said(&piped),
        "wiregate: standard output is no terminal: ask for --once or --json\n"
    );
    for every in ["10ms", "2h", "1"] {
        let wrong = top(&gateway, &["--once", "--every", every]);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(said(&wrong).contains("expected"), "{}", said(&wrong));
    }
    let nobody = wiregate(&["top", "--once", "--admin", "unix:/nowhere/admin.sock"]).output();
    let nobody = nobody.unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).starts_with("wiregate: the gateway cannot be asked: "));
}
