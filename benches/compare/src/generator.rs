//! A load of HTTP/1.1 requests that keeps its rate whatever becomes of them, as many clients do that
//! know nothing of each other: an open loop. And one that asks again when it is answered.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Requests that find no connection free open another one, up to so many.
const MOST_CONNECTIONS: usize = 4000;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last requests are waited for.
const LAST: Duration = Duration::from_secs(5);
const LARGEST: usize = 1 << 20;

/// What is asked for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub how: How,
    pub seconds: f64,
    /// What came of requests in the first seconds is not told.
    pub skip: f64,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// So many a second on the average, at random moments.
    Open { rate: f64 },
    /// Over so many connections, each of which asks again when it is answered.
    Closed { connections: usize },
}

/// What came of a load, times in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    pub accepted: usize,
    pub shed: usize,
    /// Other answers, broken connections, and requests that took too long.
    pub failed: usize,
    /// Requests for which all connections were busy: the load was lower than it should have been.
    pub unsent: usize,
    pub accepted_per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub shed_p50: f64,
    pub shed_p99: f64,
    /// How late requests were sent, at most, but for one in a hundred.
    pub late_p99: f64,
}

#[derive(Default)]
struct Seen {
    idle: Vec<TcpStream>,
    open: usize,
    accepted: Vec<f64>,
    shed: Vec<f64>,
    late: Vec<f64>,
    failed: usize,
    unsent: usize,
}

type Shared = Rc<RefCell<Seen>>;

/// Runs a load on this thread.
///
/// # Errors
/// A runtime that does not start.
pub fn run(load: Load) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = Shared::default();
    let begun = Instant::now();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        match load.how {
            How::Open { rate } => open(load, rate, begun, &seen).await,
            How::Closed { connections } => closed(load, connections, begun, &seen).await,
        }
    });
    Ok(outcome(&seen.borrow(), load.seconds - load.skip))
}

async fn open(load: Load, rate: f64, begun: Instant, seen: &Shared) {
    let mut due = 0.0;
    loop {
        while due <= begun.elapsed().as_secs_f64() {
            if due >= load.seconds {
                return finish(seen).await;
            }
            tokio::task::spawn_local(arrive(load, begun, due, seen.clone()));
            // Exponential gaps: a Poisson process.
            due -= (1.0 - fastrand::f64()).ln() / rate;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until all that were sent are answered, or have had their time.
async fn finish(seen: &Shared) {
    let begun = Instant::now();
    while seen.borrow().idle.len() < seen.borrow().open && begun.elapsed() < LAST {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn arrive(load: Load, begun: Instant, due: f64, seen: Shared) {
    let idle = seen.borrow_mut().idle.pop();
    let counts = due >= load.skip;
    if idle.is_none() {
        let mut seen = seen.borrow_mut();
        if seen.open >= MOST_CONNECTIONS {
            seen.unsent += usize::from(counts);
            return;
        }
        seen.open += 1;
    }
    if counts {
        let late = begun.elapsed().as_secs_f64() - due;
        seen.borrow_mut().late.push(late * 1e3);
    }
    let asked = async {
        let sent = Instant::now();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(load.address).await?,
        };
        let status = ask(&mut stream).await?;
        Ok((stream, status, sent.elapsed()))
    };
    tell(
        &seen,
        counts,
        tokio::time::timeout(PATIENCE, asked).await.ok(),
    );
}

/// Takes note of what came of a request; its connection goes back to the idle ones.
fn tell(seen: &Shared, counts: bool, asked: Option<io::Result<(TcpStream, Status, Duration)>>) {
    let mut seen = seen.borrow_mut();
    let Some(Ok((stream, status, took))) = asked else {
        seen.open -= 1;
        seen.failed += usize::from(counts);
        return;
    };
    match status.goes_on {
        true => seen.idle.push(stream),
        false => seen.open -= 1,
    }
    let took = took.as_secs_f64() * 1e3;
    match status.code {
        _ if !counts => {}
        200 => seen.accepted.push(took),
        503 => seen.shed.push(took),
        _ => seen.failed += 1,
    }
}

async fn closed(load: Load, connections: usize, begun: Instant, seen: &Shared) {
    let each = (0..connections).map(|_| {
        let seen = seen.clone();
        tokio::task::spawn_local(async move {
            let mut stream = None;
            while begun.elapsed().as_secs_f64() < load.seconds {
                let counts = begun.elapsed().as_secs_f64() >= load.skip;
                let sent = Instant::now();
                let asked = async {
                    let mut stream = match stream.take() {
                        Some(stream) => stream,
                        None => TcpStream::connect(load.address).await?,
                    };
                    let status = ask(&mut stream).await?;
                    io::Result::Ok((stream, status, sent.elapsed()))
                };
                seen.borrow_mut().open += 1;
                tell(
                    &seen,
                    counts,
                    tokio::time::timeout(PATIENCE, asked).await.ok(),
                );
                let idle = seen.borrow_mut().idle.pop();
                if idle.is_some() {
                    seen.borrow_mut().open -= 1;
                }
                stream = idle;
            }
        })
    });
    for task in each.collect::<Vec<_>>() {
        let _ = task.await; // one that panicked is missed in the count
    }
}

/// What an answer said.
struct Status {
    code: u16,
    goes_on: bool,
}

async fn ask(stream: &mut TcpStream) -> io::Result<Status> {
    const REQUEST: &[u8] = b"GET /p42/page HTTP/1.1\r\nhost: h57.example.com\r\n\
                             accept-encoding: gzip\r\n\r\n";
    stream.write_all(REQUEST).await?;
    let mut read = Vec::with_capacity(4096);
    loop {
        if let Some((status, true)) = answer(&read) {
            return Ok(status);
        }
        if stream.read_buf(&mut read).await? == 0 || read.len() > LARGEST {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The status of an answer, once its head has come, and whether all of it has.
fn answer(read: &[u8]) -> Option<(Status, bool)> {
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let code = head.get(9..12)?.parse().ok()?;
    let field = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    let goes_on = field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    let whole = match field("content-length") {
        Some(length) => read.len() - end >= length.parse().ok()?,
        None => read.ends_with(b"0\r\n\r\n"),
    };
    Some((Status { code, goes_on }, whole))
}

fn outcome(seen: &Seen, seconds: f64) -> Outcome {
    Outcome {
        accepted: seen.accepted.len(),
        shed: seen.shed.len(),
        failed: seen.failed,
        unsent: seen.unsent,
        accepted_per_second: seen.accepted.len() as f64 / seconds,
        p50: at(&seen.accepted, 0.5),
        p99: at(&seen.accepted, 0.99),
        shed_p50: at(&seen.shed, 0.5),
        shed_p99: at(&seen.shed, 0.99),
        late_p99: at(&seen.late, 0.99),
    }
}

fn at(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable_by(f64::total_cmp);
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * share) as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers with each of these in turn, over any number of connections.
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    for answer in answers.iter().cycle() {
                        if stream.read(&mut [0; 4096]).unwrap_or(0) == 0 {
                            return;
                        }
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        address
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const SHED: &str = "HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn counts_what_comes_of_requests() {
        for how in [How::Open { rate: 200.0 }, How::Closed { connections: 2 }] {
            let load = Load {
                address: server(&[GOOD, SHED]),
                how,
                seconds: 1.0,
                skip: 0.1,
            };
            let outcome = run(load).unwrap();
            assert!(outcome.accepted > 10, "{how:?} {outcome:?}");
            assert!(outcome.shed > 10, "{how:?} {outcome:?}");
            assert_eq!((outcome.failed, outcome.unsent), (0, 0), "{how:?}");
            assert!(outcome.p99 >= outcome.p50 && outcome.p50 > 0.0);
        }
    }

    #[test]
    fn reads_answers_of_both_framings() {
        let whole =
            |text: &str| answer(text.as_bytes()).map(|(status, whole)| (status.code, whole));
        assert_eq!(whole("HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(whole(GOOD), Some((200, true)));
        assert_eq!(whole(&GOOD[..GOOD.len() - 1]), Some((200, false)));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
        assert_eq!(whole(chunked), Some((200, false)));
        assert_eq!(whole(&format!("{chunked}0\r\n\r\n")), Some((200, true)));
        let close = "HTTP/1.1 408 x\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let (status, _) = answer(close.as_bytes()).unwrap();
        assert_eq!((status.code, status.goes_on), (408, false));
    }
}
