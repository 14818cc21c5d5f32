//! nginx, as the origin behind all proxies and as one of them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contender::{DESCRIPTORS, Stage};
use crate::process::pinned;
use crate::scenario::{self, Scenario};

/// The command that runs nginx with these servers, with all of its files in a folder of this
/// name.
///
/// # Errors
/// A folder that cannot be written to.
pub fn command(
    servers: &str,
    name: &str,
    stage: &Stage<'_>,
    processors: Option<&str>,
) -> io::Result<Command> {
    let (prefix, file) = write(servers, &stage.folder.join(name))?;
    let mut command = pinned(Path::new("nginx"), processors);
    command.arg("-p").arg(prefix).arg("-c").arg(file);
    command.args(["-e", "stderr"]);
    Ok(command)
}

/// Writes a complete configuration around `servers`, with all of nginx's files in `prefix`.
fn write(servers: &str, prefix: &Path) -> io::Result<(PathBuf, PathBuf)> {
    fs::create_dir_all(prefix)?;
    let file = prefix.join("nginx.conf");
    let text = format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile {DESCRIPTORS};
pid nginx.pid;
error_log stderr;
events {{ worker_connections {DESCRIPTORS}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {servers}
}}
"
    );
    fs::write(&file, text)?;
    Ok((prefix.to_owned(), file))
}

/// What makes an answer of the origin one that every cache stores, longer than any run takes.
const CACHEABLE: &str = "add_header Cache-Control max-age=86400;";

/// The server behind all proxies.
pub fn origin(listen: SocketAddr, scenario: Scenario, stage: &Stage<'_>) -> String {
    let port = listen.port();
    let http2 = if scenario.http2_upstream() {
        " http2"
    } else {
        ""
    };
    let folder = stage.folder.display();
    let kibibyte = "m".repeat(scenario::KIB);
    format!(
        "server {{
        listen 127.0.0.1:{port}{http2};
        listen 127.0.0.2:{port}{http2};
        listen 127.0.0.3:{port}{http2};
        default_type text/plain;
        http2_max_requests 1000000000;
        location / {{ return 200 \"hello, world\\n\"; }}
        location = /p42/mebibyte {{ alias {folder}/mebibyte; }}
        location = /p42/kib {{ alias {folder}/kib; {CACHEABLE} }}
        location = /p42/hundred {{ alias {folder}/hundred; {CACHEABLE} }}
        location /p42/fill/ {{ {CACHEABLE} return 200 \"{kibibyte}\"; }}
        location = /p42/json {{ default_type application/json; alias {folder}/json; }}
        location = /p42/page {{ default_type text/html; alias {folder}/page.html; }}
        location = /requests {{ stub_status; }}
    }}"
    )
}

/// nginx as a reverse proxy.
pub fn proxy(
    listen: SocketAddr,
    origin: SocketAddr,
    scenario: Scenario,
    stage: &Stage<'_>,
) -> String {
    let mut words = String::new();
    let mut certificate = String::new();
    if scenario.tls() {
        words += " ssl";
        let folder = stage.folder.display();
        certificate =
            format!("ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;");
    }
    if scenario.http2() {
        words += " http2";
    }
    format!(
        "upstream origin {{
        server {origin};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {listen}{words};
        {certificate}
        http2_max_requests 1000000000;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}"
    )
}

/// nginx with its cache in front of the origin, as its guide to performance sets it up: files in
/// memory, sent by the kernel. Those that are asked for again stay open.
pub fn cache(
    listen: SocketAddr,
    origin: SocketAddr,
    scenario: Scenario,
    stage: &Stage<'_>,
) -> String {
    let kept_open = match scenario {
        // Each file is asked for once.
        Scenario::CacheFill => "",
        _ => {
            "open_file_cache max=10000 inactive=1h;
    open_file_cache_valid 1h;"
        }
    };
    // nginx makes no folders on the way.
    let folder = stage.memory.join(format!("{}-nginx", scenario.name()));
    let proxy = proxy(listen, origin, scenario, stage);
    format!(
        "proxy_cache_path {} levels=1:2 keys_zone=bench:64m max_size=2g
        inactive=1d use_temp_path=off;
    proxy_cache bench;
    sendfile on;
    tcp_nopush on;
    {kept_open}
    {proxy}",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_accepts_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage {
            binaries: folder.path(),
            folder: folder.path(),
            memory: folder.path(),
        };
        let [listen, behind] = ["127.0.0.1:1", "127.0.0.1:2"].map(|a| a.parse().unwrap());
        // Not those in TLS: their certificate is made when they run.
        let plain = Scenario::ALL.into_iter().filter(|scenario| !scenario.tls());
        let servers = plain.flat_map(|scenario| {
            [
                origin(listen, scenario, &stage),
                proxy(listen, behind, scenario, &stage),
                cache(listen, behind, scenario, &stage),
            ]
        });
        for servers in servers {
            let (prefix, file) = write(&servers, folder.path()).unwrap();
            let test = Command::new("nginx")
                .args(["-t", "-e", "stderr", "-p"])
                .arg(prefix)
                .arg("-c")
                .arg(file)
                .output()
                .unwrap();
            // Checking does not listen, but it does bind unless the port is in use.
            let said = String::from_utf8_lossy(&test.stderr);
            assert!(said.contains("syntax is ok"), "{said}");
        }
    }
}
