//! Debian's nginx, as an origin.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::harness::{PATIENCE, until};

/// A running nginx, one worker under a master; stopped when dropped.
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Starts it on a free port, with these directives in its server. Files are served from
    /// `files` in its folder.
    pub fn start(server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let configuration = configuration(address, server);
        std::fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let mut this = Self {
            child: spawn(&folder),
            folder,
            address,
        };
        this.wait_until_ready();
        this
    }

    fn wait_until_ready(&mut self) {
        until("nginx listens", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("nginx ended with {status}");
            }
            TcpStream::connect(self.address).is_ok()
        });
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// Puts a file in place.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), content).unwrap();
    }

    /// Makes it read its configuration again: another worker takes over, and the old one closes
    /// its idle connections and ends.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    /// Stops it at once.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.folder);
        self.wait_until_ready();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

fn spawn(folder: &tempfile::TempDir) -> Child {
    // Debian keeps it where only root looks.
    Command::new("/usr/sbin/nginx")
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("nginx is installed by scripts/install-test.sh")
}

/// A complete configuration, with all of nginx's files in its folder, which nobody else may enter:
/// where root starts it, root it stays.
fn configuration(address: SocketAddr, server: &str) -> String {
    format!(
        "daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
{}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ text/plain txt; text/html html; }}
    default_type application/octet-stream;
    server {{
        listen {address};
        root files;
        {server}
    }}
}}
",
        if is_root() { "user root root;" } else { "" }
    )
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}
