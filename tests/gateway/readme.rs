//! Runs every command that the README shows, in its order, and compares what it prints.
//!
//! - A `console` block holds commands, behind `$ ` (and `> ` where they go on), each with what it
//!   prints, on standard output and standard error together.
//! - `…` stands for any text within a line; alone in a line, for any lines.
//! - A `yaml` block that begins with `# NAME.yaml` is a file of that name.
//! - `make run` starts what the Makefile says, but this build. `make test` is not run from within
//!   itself; that it is there, and what it runs, is checked.
//! - The ports of `make run` are exchanged for free ones in all of that, and back in what is printed.
//! - After a command that changes the file of the running gateway, the next one waits until the
//!   gateway has noticed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::fences::{Fence, fences};
use super::harness::{curl, until, wiregate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CONFIGURATION: &str = "conf/wiregate.yaml";
/// The ports that the README, the Makefile and the configuration name; the admin API's is last.
const PORTS: [&str; 4] = ["8080", "9001", "9002", "9901"];
/// What the shell prints behind each command's output, with its exit status.
const END: &str = "--- the command ended with ";

#[test]
fn does_what_the_readme_shows() {
    let mut visit = Visit::new();
    let mut tried = 0;
    for fence in fences(&read("README.md")) {
        match &*fence.language {
            "console" => {
                for step in steps(&fence) {
                    visit.step(&step);
                    tried += 1;
                }
            }
            "yaml" => visit.file(&fence),
            "sh" | "bash" | "shell" => panic!("README.md:{}: nobody tries this", fence.line),
            _ => {}
        }
    }
    assert!(visit.gateway.is_some(), "the README starts no gateway");
    assert!(tried > 10, "only {tried} commands were found");
}

#[test]
fn an_ellipsis_stands_for_what_differs() {
    for (expected, printed, fits) in [
        ("a", "a", true),
        ("a", "b", false),
        ("a", "a\nb", false),
        ("a\nb", "a", false),
        ("a…c", "abbc", true),
        ("a…c", "ab", false),
        ("…", "", true),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nb\nc", false),
        ("a\n…", "a", true),
        ("…b…", "abc", true),
        ("aa…aa", "aaa", false),
    ] {
        let (expected, printed): (Vec<_>, Vec<_>) =
            (expected.lines().collect(), printed.lines().collect());
        assert_eq!(alike(&expected, &printed), fits, "{expected:?} {printed:?}");
    }
}

/// A command and what it is to print.
struct Step {
    line: usize,
    command: String,
    printed: Vec<String>,
}

fn steps(fence: &Fence) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, text) in fence.text.lines().enumerate() {
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step {
                line: fence.line + number,
                command: command.to_owned(),
                printed: Vec::new(),
            });
            continue;
        }
        let step = steps.last_mut().expect("a block begins with a command");
        match text.strip_prefix("> ") {
            Some(more) if step.printed.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            _ => step.printed.push(text.to_owned()),
        }
    }
    steps
}

/// Somebody who does what the README says, in a copy of what it needs.
struct Visit {
    folder: tempfile::TempDir,
    shell: Shell,
    ports: Vec<(String, String)>,
    gateway: Option<Running>,
}

impl Visit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binaries = folder.path().join("target/release");
        std::fs::create_dir_all(&binaries).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wiregate"), binaries.join("wiregate"))
            .unwrap();
        let ports = free_ports();
        std::fs::create_dir(folder.path().join("conf")).unwrap();
        let text = exchanged(&read(CONFIGURATION), &ports);
        std::fs::write(folder.path().join(CONFIGURATION), text).unwrap();
        let shell = Shell::start(folder.path());
        Self {
            folder,
            shell,
            ports,
            gateway: None,
        }
    }

    fn file(&self, fence: &Fence) {
        let name = fence.text.lines().next().and_then(|line| {
            let name = line.strip_prefix("# ")?;
            (name.ends_with(".yaml") && !name.contains([' ', '/'])).then_some(name)
        });
        let name = name.unwrap_or_else(|| panic!("README.md:{}: which file?", fence.line));
        let text = exchanged(&fence.text, &self.ports);
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn step(&mut self, step: &Step) {
        if let Some(target) = step.command.strip_prefix("make ") {
            assert!(step.printed.is_empty(), "README.md:{}", step.line);
            let recipe = recipe(target);
            match target {
                "run" => self.run(&recipe),
                "test" => assert!(recipe.contains("cargo nextest run --workspace"), "{recipe}"),
                _ => panic!("README.md:{}: `{}`?", step.line, step.command),
            }
            return;
        }
        let before = self.configuration();
        let reloads = self.gateway.as_ref().map_or(0, Running::reloads);
        let printed = self.shell.run(&exchanged(&step.command, &self.ports));
        let back: Vec<_> = (self.ports.iter())
            .map(|(theirs, ours)| (ours.clone(), theirs.clone()))
            .collect();
        let printed = exchanged(&printed, &back);
        let lines: Vec<&str> = printed.lines().map(|line| line.trim_end()).collect();
        let expected: Vec<&str> = step.printed.iter().map(String::as_str).collect();
        assert!(
            alike(&expected, &lines),
            "README.md:{}: `{}` was to print\n{}\n--- and printed\n{}\n---",
            step.line,
            step.command,
            expected.join("\n"),
            lines.join("\n"),
        );
        if let Some(gateway) = &self.gateway
            && before != self.configuration()
        {
            until("the gateway notices", || gateway.reloads() > reloads);
        }
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(CONFIGURATION)).unwrap()
    }

    /// Starts what this recipe starts, but this build of it.
    fn run(&mut self, recipe: &str) {
        assert!(self.gateway.is_none(), "`make run` comes once");
        let (_, arguments) = recipe
            .split_once("exec $(TARGET)/release/wiregate ")
            .expect("`make run` ends with the gateway");
        let arguments = exchanged(arguments, &self.ports);
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        assert_eq!(arguments[..3], ["run", "--config", CONFIGURATION]);
        let gateway = Running::start(&arguments, self.folder.path());
        let (_, admin) = self.ports.last().expect("the admin API has a port");
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        until("the gateway is ready", || curl(&[&ready]).status == 200);
        self.gateway = Some(gateway);
    }
}

/// The commands of a target of the Makefile, without line breaks.
fn recipe(target: &str) -> String {
    let makefile = read("Makefile");
    let head = format!("{target}:");
    let lines = (makefile.lines()).skip_while(|line| !line.starts_with(&head));
    let recipe: Vec<&str> = (lines.skip(1))
        .take_while(|line| line.starts_with('\t'))
        .map(|line| line.trim().trim_end_matches('\\').trim_end())
        .collect();
    assert!(!recipe.is_empty(), "the Makefile has no `{target}`");
    recipe.join(" ")
}

/// A gateway in the background; killed when dropped.
struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut child = wiregate(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, copy) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                copy.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    /// How many times it has read its configuration again.
    fn reloads(&self) -> usize {
        let log = self.log.lock().unwrap();
        let of_reload = |line: &&String| {
            line.contains("the configuration is live") || line.contains("is refused")
        };
        log.iter().filter(of_reload).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway said:");
            for line in self.log.lock().unwrap().iter() {
                eprintln!("{line}");
            }
        }
    }
}

/// A shell that keeps its state from one command to the next, as a terminal does.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    status: u32,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .env_remove("WIREGATE_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            status: 0,
        }
    }

    /// What a command prints. The status of the one before is `$?`.
    fn run(&mut self, command: &str) -> String {
        let script = format!(
            "(exit {}); {{ {command}\n}} 2>&1 </dev/null; printf '\\n{END}%d\\n' $?\n",
            self.status
        );
        self.input.write_all(script.as_bytes()).unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the shell ended in `{command}`:\n{printed}");
            if let Some(status) = line.strip_prefix(END) {
                self.status = status.trim().parse().unwrap();
                // The line break in front of the mark is ours.
                printed.pop();
                return printed;
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(PathBuf::from(ROOT).join(name)).unwrap()
}

/// A free port for each one that the README names.
fn free_ports() -> Vec<(String, String)> {
    let sockets = PORTS.map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap()));
    let ports = sockets.iter().map(|(port, socket)| {
        let free = socket.local_addr().unwrap().port().to_string();
        ((*port).to_owned(), free)
    });
    ports.collect()
}

/// The text with one port for another.
fn exchanged(text: &str, ports: &[(String, String)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (from, to)| {
        let (from, to) = (format!("127.0.0.1:{from}"), format!("127.0.0.1:{to}"));
        text.replace(&from, &to)
    })
}

/// Whether lines are as expected, `…` standing for any lines.
fn alike(expected: &[&str], printed: &[&str]) -> bool {
    match expected {
        [] => printed.is_empty(),
        ["…", rest @ ..] => (0..=printed.len()).any(|skip| alike(rest, &printed[skip..])),
        [line, rest @ ..] => printed
            .split_first()
            .is_some_and(|(first, others)| fits(line, first) && alike(rest, others)),
    }
}

/// Whether a line is as expected, `…` standing for any text in it.
fn fits(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else {
        return expected == printed;
    };
    let Some(rest) = printed.strip_prefix(before) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| fits(after, &rest[at..]))
}
