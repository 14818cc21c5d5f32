//! Real Redis and Valkey: a server, a master with a sentinel, a cluster.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::harness::until;

/// The servers that speak Redis.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    Redis,
    Valkey,
}

/// Makes tests of functions that take a [`Server`]: each runs with each of them.
macro_rules! on_each_server {
    ($($name:ident),* $(,)?) => {
        mod on_redis {
            $(#[test]
            fn $name() {
                super::$name(crate::redis::Server::Redis);
            })*
        }
        mod on_valkey {
            $(#[test]
            fn $name() {
                super::$name(crate::redis::Server::Valkey);
            })*
        }
    };
}
pub(crate) use on_each_server;

/// A process that speaks Redis, on a port of its own; killed when dropped.
pub struct Redis {
    server: Server,
    child: Child,
    pub port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

/// A port that is free, and whose number leaves room for the one of a cluster's bus.
fn free_port() -> u16 {
    loop {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn run(server: Server, folder: &Path, port: u16, arguments: &[String]) -> Child {
    let child = Command::new(server.program())
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the server listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    child
}

impl Server {
    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    /// A server that keeps nothing on disk.
    pub fn start(self) -> Redis {
        self.with(&[])
    }

    /// The same with more options.
    pub fn with(self, more: &[&str]) -> Redis {
        let port = free_port().to_string();
        let plain = ["--port", &port, "--bind", "127.0.0.1", "--save", ""];
        let debug = ["--enable-debug-command", "local"];
        let arguments = [&plain[..], &debug, more].concat();
        let folder = tempfile::tempdir().unwrap();
        Redis::run(self, port.parse().unwrap(), &arguments, folder)
    }

    /// Three nodes that share the slots.
    pub fn cluster(self) -> [Redis; 3] {
        let alone = ["--cluster-require-full-coverage", "no"];
        let options = [&["--cluster-enabled", "yes"], &alone[..]].concat();
        let nodes = [(); 3].map(|()| self.with(&options));
        let mut create = Command::new("redis-cli");
        create.args(["--cluster-yes", "--cluster", "create"]);
        for node in &nodes {
            create.arg(format!("127.0.0.1:{}", node.port));
        }
        let created = create.output().unwrap();
        assert!(created.status.success(), "{created:?}");
        until("the cluster is whole", || {
            let info = |node: &Redis| node.cli(&["cluster", "info"]);
            nodes
                .iter()
                .all(|node| info(node).contains("cluster_state:ok"))
        });
        nodes
    }
}

impl Redis {
    /// A server that speaks only TLS, with this certificate.
    pub fn tls(certificate: &Path, key: &Path) -> Self {
        let port = free_port();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (certificate, key) = (text(certificate), text(key));
        let arguments = [
            ["--port", "0", "--tls-port", &port.to_string()],
            ["--bind", "127.0.0.1", "--tls-auth-clients", "no"],
            [
                "--tls-cert-file",
                &certificate,
                "--tls-ca-cert-file",
                &certificate,
            ],
            ["--tls-key-file", &key, "--save", ""],
        ];
        let folder = tempfile::tempdir().unwrap();
        // The Valkey that tests have was built without it.
        Self::run(Server::Redis, port, arguments.as_flattened(), folder)
    }

    /// A sentinel that looks after this master, which it calls `limits`.
    pub fn sentinel_of(master: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor limits 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds limits 300\nsentinel failover-timeout limits 2000\n",
            master.port
        );
        std::fs::write(folder.path().join("sentinel.conf"), text).unwrap();
        let arguments = ["sentinel.conf", "--sentinel"];
        Self::run(master.server, port, &arguments, folder)
    }

    fn run(server: Server, port: u16, arguments: &[&str], folder: tempfile::TempDir) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        Self {
            server,
            child: run(server, folder.path(), port, &arguments),
            port,
            arguments,
            folder,
        }
    }

    /// Its address, as configurations have it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to a command.
    pub fn cli(&self, command: &[&str]) -> String {
        let answer = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap()
    }

    /// Sends a signal: `STOP` hangs it, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &process]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with nothing in it, after it was killed.
    pub fn again(&mut self) {
        self.child = run(self.server, self.folder.path(), self.port, &self.arguments);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
