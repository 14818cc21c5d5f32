//! A gateway in the process of the test, with filters of the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;

use wiregate::Registry;
use wiregate::gateway::Gateway;

use super::harness::{Answer, complete, curl};

/// Ends when it is dropped.
pub struct Embedded {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Embedded {
    /// Starts one with these filters and this configuration, below the head that [`complete`] gives it.
    pub fn start(filters: Registry, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wiregate.yaml");
        std::fs::write(&file, complete(folder.path(), configuration, "{}")).unwrap();
        let gateway = Gateway::start(filters, file).expect("a good configuration");
        Self { gateway, folder }
    }

    /// The address of its listener `public`.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address("public").unwrap()
    }

    /// A URL on its listener `public`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The file of that name in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What its access log says so far.
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.file("access.log")).unwrap_or_default()
    }

    /// What its admin API says about this.
    pub fn admin(&self, path: &str) -> Answer {
        let socket = self.file("admin.sock");
        let url = format!("http://localhost{path}");
        curl(&["--unix-socket", socket.to_str().unwrap(), &url])
    }

    /// Ends it, and waits for that.
    pub fn stop(self) {
        self.gateway.stop();
    }
}
