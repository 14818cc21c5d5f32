//! WebSockets: how long they may be silent, and how they end with the gateway (RFC 6455).
//!
//! While a request asks for an upgrade, and while the tunnel stands, a stand-in has the place of
//! the client's session. It keeps the tunnel's own idle time, and says goodbye with a close frame
//! between two frames of the endpoint's. It also hides from Pingora that the request has no body:
//! where an endpoint switches protocols at once, Pingora takes the end of that body, if it comes
//! later, for the end of the tunnel (cloudflare/pingora#946).

mod frames;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::upstreams::peer::PeerOptions;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use tokio::time::{Instant, Sleep};

use super::context::Context;
use super::replay;
use crate::listen::Ending;
use frames::Frames;

/// A close frame that says "going away" (RFC 6455, 7.4.1).
const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];
/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);

impl Context {
    /// A request for a WebSocket gets a stand-in that looks after the tunnel.
    pub(super) fn settle_upgrade(
        &mut self,
        session: &mut ServerSession,
        options: &mut PeerOptions,
    ) {
        if options.alpn == ALPN::H2 || !asks_for_websocket(session) {
            return;
        }
        options.alpn = ALPN::H1; // HTTP/2 knows no upgrade
        if self.body.lent.is_none() && session.is_body_empty() {
            let idle = self.snapshot.settings.limits.websocket_idle.into();
            let tunnel = Tunnel::new(idle, self.peer.ending.get().cloned());
            self.body.lent = Some(replay::lend_to_tunnel(session, tunnel));
            self.body.upgrade = true;
        }
    }
}

/// Whether a 101 answers a request for it (RFC 9110, 15.2.2).
pub(super) fn is_asked_for(session: &ServerSession, head: &ResponseHeader) -> bool {
    asks_for_websocket(session) && names_websocket(&head.headers)
}

fn asks_for_websocket(session: &ServerSession) -> bool {
    let head = session.req_header();
    head.version == Version::HTTP_11 && names_websocket(&head.headers)
}

fn names_websocket(headers: &HeaderMap) -> bool {
    (headers.get(header::UPGRADE))
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The endpoint has not answered yet.
    Asked,
    /// It has answered, but without an upgrade.
    Refused,
    /// The tunnel stands.
    Open,
    /// A close frame has been sent; the client's is waited for.
    Leaving,
    /// There is nothing more to come.
    Closed,
}

/// What a stand-in does for a tunnel.
pub(super) struct Tunnel {
    state: State,
    idle: Duration,
    /// Tells when the time to finish is over.
    gateway: Option<Ending>,
    /// Whether the tunnel is to end as soon as that is between two frames.
    ending: bool,
    timer: Option<Pin<Box<Sleep>>>,
    active: Instant,
    from_client: Frames,
    to_client: Frames,
    /// Whether the request's head has just left.
    head_left: bool,
}

impl Tunnel {
    fn new(idle: Duration, gateway: Option<Ending>) -> Self {
        Self {
            state: State::Asked,
            idle,
            gateway,
            ending: false,
            timer: None,
            active: Instant::now(),
            from_client: Frames::default(),
            to_client: Frames::default(),
            head_left: false,
        }
    }

    /// The request's head leaves, once for each attempt.
    pub(super) fn head_leaves(&mut self) {
        self.head_left = true;
        self.active = Instant::now();
    }

    /// Whether there is nothing to send after the head. Asked right after it has left, the answer
    /// is no: what the client sends in the tunnel comes after it.
    pub(super) fn is_body_empty(&mut self) -> bool {
        !std::mem::take(&mut self.head_left)
    }

    /// Whether the client sends nothing more.
    pub(super) fn is_body_done(&self, session: &mut ServerSession) -> bool {
        match self.state {
            State::Asked => false,
            State::Refused | State::Closed => true,
            State::Open | State::Leaving => session.is_body_done(),
        }
    }

    /// What the client sends next.
    ///
    /// # Errors
    /// The client is gone, or the endpoint takes too long to answer.
    pub(super) async fn read(
        &mut self,
        session: &mut ServerSession,
        none_expected: bool,
    ) -> Result<Option<Bytes>> {
        loop {
            match self.state {
                State::Asked => return session.read_body_or_idle(true).await,
                State::Refused if none_expected => return session.read_body_or_idle(true).await,
                State::Refused | State::Closed => return Ok(None),
                State::Open | State::Leaving => {
                    if let Some(read) = self.next(session).await? {
                        return Ok(read);
                    }
                }
            }
        }
    }

    /// What the client sends next; nothing where something else has happened.
    async fn next(&mut self, session: &mut ServerSession) -> Result<Option<Option<Bytes>>> {
        let leaving = self.state == State::Leaving;
        let (patience, listening) = match leaving {
            true => (FAREWELL, false),
            false => (self.idle, !self.ending),
        };
        let gateway = self.gateway.clone().filter(|_| listening);
        // The conversation is woken then.
        let over = std::future::poll_fn(move |_| match &gateway {
            Some(gateway) if gateway.is_over() => Poll::Ready(()),
            _ => Poll::Pending,
        });
        tokio::select! {
            biased;
            () = over => {
                self.ending = true;
                self.leave(session).await?;
                Ok(None)
            }
            read = session.read_body_or_idle(false) => {
                let read = read?;
                if let Some(bytes) = &read {
                    self.from_client.read(bytes);
                    if leaving && self.from_client.closed() {
                        self.state = State::Closed;
                    } else if !leaving {
                        self.active = Instant::now();
                    }
                }
                Ok(Some(read))
            }
            () = self.silence(patience) => {
                if leaving || !self.to_client.is_between() {
                    self.state = State::Closed;
                } else {
                    self.leave(session).await?;
                }
                Ok(None)
            }
        }
    }

    /// Says goodbye, where that is possible now.
    async fn leave(&mut self, session: &mut ServerSession) -> Result<()> {
        if !self.to_client.is_between() {
            return Ok(()); // as soon as the frame has ended
        }
        let frame = Bytes::from_static(GOING_AWAY);
        session.write_response_body(frame, false).await?;
        self.state = State::Leaving;
        self.active = Instant::now();
        Ok(())
    }

    /// Returns when nothing has happened for this long.
    async fn silence(&mut self, patience: Duration) {
        loop {
            let Some(end) = self.active.checked_add(patience) else {
                return std::future::pending().await;
            };
            if end <= Instant::now() {
                return;
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
            if timer.deadline() != end {
                timer.as_mut().reset(end);
            }
            timer.as_mut().await;
        }
    }

    /// What the endpoint sends goes to the client.
    ///
    /// # Errors
    /// The client's, or the endpoint's.
    pub(super) async fn write(
        &mut self,
        session: &mut ServerSession,
        mut tasks: Vec<HttpTask>,
    ) -> Result<bool> {
        let mut goodbye = false;
        for task in &mut tasks {
            match task {
                HttpTask::Header(head, _) => self.answered(head.status),
                HttpTask::UpgradedBody(Some(bytes), _) => goodbye |= self.pass(bytes),
                _ => {}
            }
        }
        let end = session.response_duplex_vec(tasks).await?;
        if goodbye && !end {
            self.leave(session).await?;
        }
        Ok(end)
    }

    fn answered(&mut self, status: StatusCode) {
        self.active = Instant::now();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.state = State::Open;
        } else if !status.is_informational() {
            self.state = State::Refused;
        }
    }

    /// Bytes of the endpoint's: those after which the tunnel ends are cut off. Returns whether it
    /// ends here.
    fn pass(&mut self, bytes: &mut Bytes) -> bool {
        self.active = Instant::now();
        if self.state != State::Open {
            bytes.clear(); // after a close frame nothing may follow (RFC 6455, 5.5.1)
            return false;
        }
        if !self.ending {
            self.to_client.read(bytes);
            return false;
        }
        let read = self.to_client.read_one(bytes);
        bytes.truncate(read);
        self.to_client.is_between()
    }
}
