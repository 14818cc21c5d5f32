//! A client that keeps its connection, and origins that are processes of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use super::harness::{Gateway, PATIENCE, until, wiregate};

/// A client on one connection.
pub struct Client(BufReader<TcpStream>);

/// What it got.
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: serde_json::Value,
}

impl Got {
    /// The endpoint that answered.
    pub fn by(&self) -> String {
        assert_eq!(self.status, 200, "{}{}", self.head, self.body);
        self.body["served_by"].as_str().unwrap().to_owned()
    }

    /// The value of a field, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value.trim())
    }
}

impl Client {
    pub fn new(gateway: &Gateway) -> Self {
        Self::at(gateway.address())
    }

    /// One that is connected to this address.
    pub fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// A GET, or what is wrong with its answer.
    pub fn try_get(&mut self, target: &str) -> Result<Got, String> {
        let wrong = |error: std::io::Error| error.to_string();
        let ask = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.0.get_mut().write_all(ask.as_bytes()).map_err(wrong)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).map_err(wrong)? == 0 {
                return Err(format!("closed within a head: {head:?}"));
            }
        }
        let mut got = Got {
            status: head[9..12].parse().map_err(|_| head.clone())?,
            head,
            body: serde_json::Value::Null,
        };
        let mut body = vec![0; got.header("content-length").parse().unwrap_or(0)];
        self.0.read_exact(&mut body).map_err(wrong)?;
        got.body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(got)
    }

    /// A GET with these lines in its head.
    pub fn get(&mut self, target: &str, fields: &[&str]) -> Got {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        self.0.get_mut().write_all(head.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "closed: {head}");
        }
        let mut got = Got {
            status: head[9..12].parse().unwrap(),
            head,
            body: serde_json::Value::Null,
        };
        let mut body = vec![0; got.header("content-length").parse().unwrap_or(0)];
        self.0.read_exact(&mut body).unwrap();
        got.body = serde_json::from_slice(&body).unwrap_or_default();
        got
    }
}

/// An echo server that is a process of its own; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts one on this address; port 0 takes a free one.
    pub fn start(address: &str) -> Self {
        let mut command = wiregate(&["echo", "--bind", address]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (copy, stderr) = (said.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                copy.lock().unwrap().push_str(&line);
            }
        });
        let mut address = None;
        until("the origin listens", || {
            let said = said.lock().unwrap();
            let rest = said.split_once("address=").map(|(_, rest)| rest);
            address = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            address.is_some()
        });
        Self {
            child,
            address: address.unwrap(),
        }
    }

    /// SIGKILL: it has no time to say goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the admin API tells of an endpoint of the upstream `app`.
pub fn state(gateway: &Gateway, address: SocketAddr) -> serde_json::Value {
    let all = gateway.admin("GET", "/upstreams").json();
    let endpoints = all["upstreams"]["app"]["endpoints"].as_array().unwrap();
    let address = address.to_string();
    let found = endpoints
        .iter()
        .find(|endpoint| endpoint["address"] == address);
    found
        .unwrap_or_else(|| panic!("{address} in {all}"))
        .clone()
}

/// Gives the `/health` of an echo server this status.
pub fn set_health(address: SocketAddr, status: u16) {
    let url = format!("http://{address}/health?status={status}");
    assert!(super::harness::curl(&["-X", "PUT", &url]).status < 300);
}
