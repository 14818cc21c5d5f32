//! Starts the real binary and the peers around it.

mod curl;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use curl::{Answer, curl, curl_with};
pub use wiregate::echo::Echo;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The keys that configurations here write as `${env:KEY_OF_ANN}` and `${env:KEY_OF_BOB}`.
pub const KEY_OF_ANN: &str = "anns-key-0123456789";
pub const KEY_OF_BOB: &str = "bobs-key-0123456789";

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    folder: tempfile::TempDir,
    log: Arc<Mutex<String>>,
    admin: PathBuf,
}

impl Gateway {
    /// Starts a gateway with this configuration, below a head that gives it a listener `public`
    /// on a free port, an admin socket, and an access log `access.log` in its folder.
    pub fn start(configuration: &str) -> Self {
        Self::start_with(configuration, "{}")
    }

    /// The same with more options for the listener.
    pub fn start_with(configuration: &str, listener: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wiregate.yaml");
        std::fs::write(&file, complete(folder.path(), configuration, listener)).unwrap();
        Self::start_file(folder, &file)
    }

    /// Starts a gateway with this file, which must have the admin socket `admin.sock` beside it.
    pub fn start_file(folder: tempfile::TempDir, file: &Path) -> Self {
        Self::start_as(folder, file, |_| {})
    }

    /// The same with a say in how the process is started: its environment, its standard output.
    pub fn start_as(
        folder: tempfile::TempDir,
        file: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = wiregate(&["run", "--config"]);
        command.arg(file);
        Self::start_command(folder, command, change)
    }

    /// The same with a command of one's own.
    pub fn start_command(
        folder: tempfile::TempDir,
        mut command: Command,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let copy = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writeln!(copy.lock().unwrap(), "{line}").unwrap();
            }
        });
        let admin = folder.path().join("admin.sock");
        let mut this = Self {
            child,
            folder,
            log,
            admin,
        };
        this.wait_until_ready();
        this
    }

    fn wait_until_ready(&mut self) {
        until("the gateway is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            let ready = self.log().contains("the admin API is listening");
            ready && self.admin("GET", "/readyz").status == 200
        });
    }

    /// The address of a listener on TCP, as the gateway last told it.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let address = |log: &str| {
            let lines = log.lines().rev();
            let mut told = lines.filter(|line| line.contains(" listening "));
            told.find_map(|line| {
                let value = |key: &str| {
                    let rest = line.split_once(&format!("{key}="))?.1;
                    Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
                };
                value("address").filter(|_| value("listener").as_deref() == Some(name))
            })
        };
        // A reload is answered, and told about, by two threads.
        let mut found = None;
        until("the listener is told about", || {
            found = address(&self.log());
            found.is_some()
        });
        found.unwrap().parse().unwrap()
    }

    /// What the gateway has said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the gateway has said this: what it does shows in one thread before it is said in another, or read here.
    pub fn tells(&self, what: &str) {
        until(&format!("it tells {what:?}:\n{}", self.log()), || {
            self.log().contains(what)
        });
    }

    /// The address of its listener `public`.
    pub fn address(&self) -> SocketAddr {
        self.listener("public")
    }

    /// A URL on its listener `public`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of that name in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts another configuration in place, which the gateway will notice.
    pub fn write(&self, configuration: &str) {
        let text = complete(self.folder.path(), configuration, "{}");
        // As editors do: a reader never sees half a file.
        let new = self.file("wiregate.yaml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file("wiregate.yaml")).unwrap();
    }

    /// Puts another configuration in place and waits until it is live.
    pub fn reload(&self, configuration: &str) {
        self.write(configuration);
        let answer = self.admin("POST", "/reload");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// What the process takes of the system: a line of `/proc/PID/status`, such as `VmRSS` in kB.
    pub fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap().trim_start_matches(':').trim();
        value.split(' ').next().unwrap().parse().unwrap()
    }

    /// How many file descriptors the process has open.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// The standard output of the process, where it was asked for as a pipe.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Asks the admin API.
    pub fn admin(&self, method: &str, path: &str) -> Answer {
        let socket = self.admin.to_str().unwrap();
        let url = format!("http://localhost{path}");
        curl(&["--unix-socket", socket, "-X", method, &url])
    }

    /// The value of a metric with these labels, as written in the exposition, 0 where absent.
    pub fn metric(&self, name_and_labels: &str) -> f64 {
        let metrics = self.admin("GET", "/metrics").text();
        metrics
            .lines()
            .filter_map(|line| line.strip_prefix(name_and_labels)?.strip_prefix(' '))
            .map(|value| value.parse().unwrap())
            .next()
            .unwrap_or(0.0)
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let mut ended = None;
        until("the gateway ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// The lines of its access log, once there are at least this many.
    pub fn access_log(&self, lines: usize) -> Vec<serde_json::Value> {
        let mut read = Vec::new();
        until("the access log is written", || {
            let text = std::fs::read_to_string(self.file("access.log")).unwrap_or_default();
            read = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            read.len() >= lines
        });
        read
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway said:\n{}", self.log());
        }
    }
}

/// A whole configuration out of what follows its head.
pub fn complete(folder: &Path, configuration: &str, listener: &str) -> String {
    let options = listener
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim();
    let comma = if options.is_empty() { "" } else { ", " };
    let folder = folder.display();
    format!(
        "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\"{comma}{options} }} }}\n\
         admin: {{ bind: \"unix:{folder}/admin.sock\" }}\n\
         access_log: {{ file: \"{folder}/access.log\" }}\n{configuration}\n"
    )
}

/// The binary, to be run with these arguments.
pub fn wiregate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wiregate"));
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("KEY_OF_ANN", KEY_OF_ANN)
        .env("KEY_OF_BOB", KEY_OF_BOB);
    command
}

/// An echo server on one free port.
pub fn echo() -> Echo {
    echoes(1)
}

/// An echo server on several free ports.
pub fn echoes(count: usize) -> Echo {
    let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
    Echo::start(&vec![anywhere; count]).unwrap()
}

/// A configuration with an upstream `app` of these endpoints.
pub fn upstream(echo: &Echo) -> String {
    let endpoints: Vec<_> = echo
        .addresses()
        .iter()
        .map(|a| format!("\"{a}\""))
        .collect();
    format!(
        "upstreams: {{ app: {{ endpoints: [{}] }} }}\n",
        endpoints.join(", ")
    )
}

/// Writes these bytes to a connection and reads until it closes or falls silent.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read);
    String::from_utf8_lossy(&read).into_owned()
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
