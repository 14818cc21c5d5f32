//! Clients over TLS that end their side of an HTTP/1.1 connection, and those that close it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};

use super::clients::open;
use super::tls::{ONE, folder, listener};
use super::{REQUEST, start_in};
use crate::harness::{Gateway, until};
use crate::origin;

fn gateway(origin: SocketAddr) -> Gateway {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let rest = format!(
        "upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\nroutes: [{{ name: all, upstream: app }}]"
    );
    start_in(folder, &listener(ONE), &rest)
}

#[test]
fn a_client_that_closes_its_connection_is_missed_before_its_answer_comes() {
    let (counts, silent) = origin::silent();
    let gateway = gateway(silent);
    let url = format!("https://{}/", gateway.address());
    // Whoever is killed says nothing more; whoever has waited for too long says goodbye.
    for patience in ["600", "1"] {
        let mut client = Command::new("curl")
            .args(["-sk", "--http1.1", "--max-time", patience, &url])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("it is there", || origin::open(&counts) == 1);
        if patience == "600" {
            client.kill().unwrap();
        }
        client.wait().unwrap();
        until("the attempt has ended", || origin::open(&counts) == 0);
    }
    for line in gateway.access_log(2) {
        assert_eq!(line["error"], "client_gone", "{line}");
        assert_eq!(line["status"], 499, "{line}");
    }
}

#[test]
fn a_client_that_only_ends_its_side_is_asked_and_gets_its_answer() {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let origin = crate::origin::answers(move |_| {
        goes.lock().unwrap().recv().unwrap();
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned()
    });
    let gateway = gateway(origin);
    let mut client = open(&gateway, "a.example");
    client.write_all(REQUEST).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    let question = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut asked = vec![0; question.len()];
    client.read_exact(&mut asked).unwrap();
    assert_eq!(asked, question.as_bytes());
    go.send(()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap(); // and hears that this was all
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn a_connection_that_has_idled_for_too_long_ends_with_a_goodbye() {
    let origin = crate::origin::answers(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into());
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let rest = format!(
        "limits: {{ idle: 1s }}\nupstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}]"
    );
    let gateway = start_in(folder, &listener(ONE), &rest);
    for asks in [true, false] {
        let mut client = open(&gateway, "a.example");
        if asks {
            client.write_all(REQUEST).unwrap();
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap(); // an error, had the connection just been closed
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), asks, "{answer}");
    }
}
