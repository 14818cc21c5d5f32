//! Whether a client that has ended its side is still there.
//!
//! It may have ended no more than its side, and awaits its answer; or it has closed its connection, and
//! nobody is there. The two look the same until something is written, which a closed socket answers by a
//! reset. So such a client gets an interim response, which tells it nothing: a client of HTTP/1.1 can read
//! one at any time, and discards it where it has not asked for it (RFC 9110, 15.2 and 15.2.1).

use std::future::{pending, poll_fn};
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};

use crate::listen::http1::Gate;
use crate::listen::stream::Connection;
use crate::proxy::boxed::boxed;

/// A client is asked when it has ended its side for this long, which quick answers take less than.
const GRACE: Duration = Duration::from_secs(1);
/// It is asked again after this long, and after twice as long each time from then on: one that goes later
/// is noticed all the same, and one that bears only a few such answers (Go's bears five) gets no more in two
/// minutes.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// When a client is asked whether it is there. It outlives those that wait for it to be gone.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next: Option<Instant>,
    asked: u32,
}

impl Asking {
    /// The moment to ask next; the first time, the client has just been seen to have ended its side.
    fn next(&mut self) -> Instant {
        *self.next.get_or_insert_with(|| Instant::now() + GRACE)
    }

    /// It is asked.
    fn ask(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(QUESTION);
        let pause = PAUSE * 2_u32.pow(self.asked.min(8));
        self.asked += 1;
        self.next = Some(Instant::now() + pause.min(LONGEST_PAUSE));
    }
}

/// Returns when the client is gone, whose request has been read. Where it has ended its side it is
/// asked, unless there is nothing to ask by.
pub(super) async fn gone(gate: &mut Gate, asking: Option<&mut Asking>) -> io::Error {
    let end = poll_fn(|cx| {
        let end = gate.poll_end(cx);
        if end.is_pending() {
            gate.let_gathered_go(cx);
        }
        end
    });
    match end.await {
        // What few requests need is boxed apart: this future is made often.
        Ok(()) => boxed(|| gone_behind_its_end(&mut gate.connection, asking)).await,
        Err(error) => error,
    }
}

async fn gone_behind_its_end(
    connection: &mut Connection,
    mut asking: Option<&mut Asking>,
) -> io::Error {
    loop {
        // The rest of a question as well, of one who was waiting here before.
        if let Err(error) = connection.flush().await {
            return error;
        }
        let next = async {
            match &mut asking {
                Some(asking) => sleep_until(asking.next()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            error = connection.broken() => return error,
            () = next => {}
        }
        if let Some(asking) = &mut asking {
            asking.ask(connection.gathered());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream, UnixStream};
    use tokio::time::{Timeout, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn somewhere() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    /// A gate, and the client before it, which has ended its side after it has sent this.
    async fn ended(sent: &[u8]) -> (Gate, UnixStream) {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        (Gate::new(Connection::new(server, somewhere())), client)
    }

    /// A gate, and a client before it that can be reset.
    async fn over_tcp() -> (Gate, TcpStream) {
        let listener = TcpListener::bind(somewhere()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let (server, address) = server.unwrap();
        (Gate::new(Connection::new(server, address)), client.unwrap())
    }

    fn waits<'a>(
        gate: &'a mut Gate,
        asking: &'a mut Asking,
        time: Duration,
    ) -> Timeout<impl Future<Output = io::Error> + 'a> {
        timeout(time, gone(gate, Some(asking)))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_after_a_grace_and_ever_more_seldom() {
        let ((mut gate, mut client), start) = (ended(b"").await, Instant::now());
        let mut asking = Asking::default();
        let reads = async {
            let mut moments = Vec::new();
            for _ in 0..7 {
                let mut question = [0; QUESTION.len()];
                client.read_exact(&mut question).await.unwrap();
                assert_eq!(question, QUESTION);
                moments.push(start.elapsed().as_secs());
            }
            moments
        };
        tokio::select! {
            error = gone(&mut gate, Some(&mut asking)) => panic!("it is there: {error}"),
            moments = reads => assert_eq!(moments, [1, 6, 16, 36, 76, 136, 196]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_anew_does_not_ask_anew() {
        let ((mut gate, mut client), mut asking) = (ended(b"").await, Asking::default());
        for _ in 0..57 {
            let wait = waits(&mut gate, &mut asking, SECOND / 10);
            assert!(wait.await.is_err());
        }
        let mut asked = [0; 1024];
        assert_eq!(client.read(&mut asked).await.unwrap(), QUESTION.len());
        for _ in 0..10 {
            let wait = waits(&mut gate, &mut asking, SECOND / 10);
            assert!(wait.await.is_err());
        }
        assert_eq!(client.read(&mut asked).await.unwrap(), QUESTION.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_half_out_is_completed_first() {
        let ((mut gate, mut client), mut asking) = (ended(b"").await, Asking::default());
        let filler = vec![b'x'; 64 * 1024];
        let mut filled = 0;
        while let Ok(count) = timeout(SECOND, gate.connection.write(&filler)).await {
            filled += count.unwrap();
        }
        for _ in 0..20 {
            let wait = waits(&mut gate, &mut asking, SECOND * 10);
            assert!(wait.await.is_err());
        }
        gate.connection.gathered().extend_from_slice(b"answer");
        let writes = async {
            gate.connection.flush().await.unwrap();
            gate.connection.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let (read_all, ()) = tokio::join!(client.read_to_end(&mut read), writes);
        read_all.unwrap();
        let rest = String::from_utf8_lossy(&read[filled..]);
        assert_eq!(rest, "HTTP/1.1 100 Continue\r\n\r\nanswer");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_still_sends_or_may_not_be_asked_is_not_asked() {
        for (sent, may_be_asked) in [(&b"GET"[..], true), (b"", false)] {
            let ((mut gate, mut client), mut asking) = (ended(sent).await, Asking::default());
            let asking = Some(&mut asking).filter(|_| may_be_asked);
            let wait = timeout(SECOND * 600, gone(&mut gate, asking));
            assert!(wait.await.is_err());
            drop(gate);
            let mut asked = Vec::new();
            client.read_to_end(&mut asked).await.unwrap();
            assert!(asked.is_empty(), "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_closed_its_connection_is_gone_with_the_first_question() {
        let ((mut over_unix, client), mut asking) = (ended(b"").await, Asking::default());
        drop(client);
        let start = Instant::now();
        let wait = waits(&mut over_unix, &mut asking, SECOND * 3);
        assert!(wait.await.is_ok());
        assert_eq!(start.elapsed().as_secs(), 1);
        let ((mut gate, client), mut asking) = (over_tcp().await, Asking::default());
        drop(client);
        assert!(
            waits(&mut gate, &mut asking, SECOND / 2).await.is_err(),
            "it looks like one that is there"
        );
        let wait = waits(&mut gate, &mut asking, SECOND * 3);
        assert!(wait.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_resets_its_connection_behind_its_end_is_gone_at_once() {
        let (mut gate, mut client) = over_tcp().await;
        client.shutdown().await.unwrap();
        assert!(timeout(SECOND, gone(&mut gate, None)).await.is_err());
        client.set_zero_linger().unwrap();
        drop(client);
        let start = Instant::now();
        assert!(timeout(SECOND, gone(&mut gate, None)).await.is_ok());
        assert!(start.elapsed() < SECOND);
    }
}
