//! Clients that end their side and stay: they are asked whether they are there, and get their answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Mutex, mpsc};

use super::{Origin, connect, gateway, read_answer, read_head, status};
use crate::harness::{Gateway, curl, until};

const QUESTION: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// An origin that answers with the request's target and body, once it is told to.
fn held() -> (mpsc::Sender<()>, Origin) {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let origin = Origin::telling(move |request| {
        goes.lock().unwrap().recv().unwrap();
        let target = request.first_line().split(' ').nth(1).unwrap().to_owned();
        target + " " + &String::from_utf8_lossy(&request.body)
    });
    (go, origin)
}

/// A client that has sent this and has ended its side.
fn half(gateway: &Gateway, request: &str) -> TcpStream {
    let mut stream = connect(gateway);
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

/// All that comes until the other end closes in order.
fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
}

/// Asks later than the one that is in flight, and waits until it is asked itself: that one was asked by then, if it is.
fn wait_for_questions(gateway: &Gateway) -> TcpStream {
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}") == 1.0;
    until("it is in flight", in_flight);
    let mut late = half(gateway, "GET /late HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(read_head(&mut late), QUESTION);
    late
}

#[test]
fn a_client_that_half_closes_is_asked_and_gets_its_whole_answer_once() {
    let (go, origin) = held();
    let gateway = gateway(&origin, "");
    for (request, body) in [
        ("GET /a HTTP/1.1\r\nhost: a\r\n\r\n", "/a "),
        (
            "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
            "/a abc",
        ),
        (
            "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "/a abc",
        ),
    ] {
        let mut client = half(&gateway, request);
        assert_eq!(read_head(&mut client), QUESTION, "{request:?}");
        go.send(()).unwrap();
        let answer = rest(client);
        assert_eq!(status(&answer), 200, "{request:?} {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    for line in gateway.access_log(3) {
        assert_eq!(line["status"], 200, "{line}");
        assert!(line["error"].is_null(), "{line}");
    }
}

#[test]
fn a_client_of_http_1_0_knows_no_questions() {
    let (go, origin) = held();
    let gateway = gateway(&origin, "");
    let old = half(&gateway, "GET /old HTTP/1.0\r\n\r\n");
    let late = wait_for_questions(&gateway);
    go.send(()).unwrap();
    go.send(()).unwrap();
    for (client, target) in [(old, "/old"), (late, "/late")] {
        let answer = rest(client);
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{target} ")), "{answer}");
    }
}

#[test]
fn an_answer_that_has_begun_is_interrupted_by_no_question() {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let origin = Origin::answering(move |request, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";
        let begins = !request.first_line().contains("/late");
        if begins {
            stream.write_all(format!("{head}abc").as_bytes()).unwrap();
        }
        goes.lock().unwrap().recv().unwrap();
        let rest = if begins {
            "def".into()
        } else {
            format!("{head}abcdef")
        };
        stream.write_all(rest.as_bytes()).is_ok()
    });
    let gateway = gateway(&origin, "");
    let client = half(&gateway, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let late = wait_for_questions(&gateway);
    go.send(()).unwrap();
    go.send(()).unwrap();
    for client in [client, late] {
        let answer = rest(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nabcdef"), "{answer}");
    }
}

#[test]
fn requests_that_came_together_before_the_end_are_answered_in_order() {
    let (go, origin) = held();
    let gateway = gateway(&origin, "");
    let requests: String = (1..=3)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"))
        .collect();
    let mut client = half(&gateway, &requests);
    for number in 1..=2 {
        go.send(()).unwrap();
        let answer = read_answer(&mut client);
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.ends_with(&format!("/{number} ")), "{answer}");
    }
    assert_eq!(read_head(&mut client), QUESTION);
    go.send(()).unwrap();
    let answer = rest(client);
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.ends_with("/3 "), "{answer}");
}

/// A relay on TCP that passes one connection on, and the end of its client's side right behind the
/// head of its request. Returns what it was sent back.
fn relay(to: SocketAddr) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let passes = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let head = read_head(&mut client);
        let mut server = TcpStream::connect(to).unwrap();
        server.write_all(head.as_bytes()).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let (mut all, mut piece) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = server.read(&mut piece) {
            all.extend_from_slice(&piece[..count]);
            client.write_all(&piece[..count]).unwrap();
        }
        String::from_utf8(all).unwrap()
    });
    (address, passes)
}

#[test]
fn real_clients_read_past_a_question() {
    let (go, origin) = held();
    let gateway = gateway(&origin, "");
    let (address, passed) = relay(gateway.address());
    let url = format!("http://{address}/curl");
    let curl = std::thread::spawn(move || curl(&["--http1.1", &url]));
    let late = wait_for_questions(&gateway);
    go.send(()).unwrap();
    go.send(()).unwrap();
    let answer = curl.join().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "/curl ".into()));
    assert!(passed.join().unwrap().starts_with(QUESTION));
    assert!(rest(late).ends_with("/late "));
}

/// `http.client` of Python, which says what it reads.
#[test]
fn a_client_in_python_that_half_closes_gets_its_answer() {
    let script = "import http.client, socket, sys\n\
                  connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
                  connection.set_debuglevel(1)\n\
                  connection.request('GET', '/python')\n\
                  connection.sock.shutdown(socket.SHUT_WR)\n\
                  response = connection.getresponse()\n\
                  print('got', response.status, response.read().decode())\n";
    let (go, origin) = held();
    let gateway = gateway(&origin, "");
    let port = gateway.address().port().to_string();
    let python = std::thread::spawn(move || {
        let python = Command::new("python3").args(["-c", script, &port]).output();
        String::from_utf8_lossy(&python.unwrap().stdout).into_owned()
    });
    let late = wait_for_questions(&gateway);
    go.send(()).unwrap();
    go.send(()).unwrap();
    let said = python.join().unwrap();
    assert!(
        said.contains("100 Continue") && said.contains("got 200 /python "),
        "{said}"
    );
    assert!(rest(late).ends_with("/late "));
}
