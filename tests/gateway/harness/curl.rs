//! curl, and what it got.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What curl got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `1.1` or `2`.
    pub version: String,
    /// Names in lower case; repeated fields joined with `, `.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Runs curl with these arguments; status 0 where it got no answer.
pub fn curl(arguments: &[&str]) -> Answer {
    curl_with(arguments, b"")
}

/// Runs curl with these arguments and this standard input.
pub fn curl_with(arguments: &[&str], input: &[u8]) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let (heads, body) = (folder.path().join("heads"), folder.path().join("body"));
    let mut child = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "60",
            "-w",
            "%{http_code} %{http_version}",
            "-D",
        ])
        .arg(&heads)
        .arg("-o")
        .arg(&body)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { stdout, .. } = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    let (status, version) = said.split_once(' ').unwrap_or(("0", ""));
    let heads = std::fs::read(&heads).unwrap_or_default();
    Answer {
        status: status.parse().unwrap_or(0),
        version: version.to_owned(),
        headers: last_head(&String::from_utf8_lossy(&heads)),
        body: std::fs::read(&body).unwrap_or_default(),
    }
}

fn last_head(heads: &str) -> HashMap<String, String> {
    let last = heads.trim_end().split("\r\n\r\n").last().unwrap_or("");
    let mut headers: HashMap<String, String> = HashMap::new();
    for line in last.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let known = headers.entry(name.to_ascii_lowercase()).or_default();
        if !known.is_empty() {
            known.push_str(", ");
        }
        known.push_str(value.trim());
    }
    headers
}
