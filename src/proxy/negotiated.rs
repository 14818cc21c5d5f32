//! Endpoints that choose between HTTP/2 and HTTP/1.1 (`protocol: negotiate`).
//!
//! Connections over HTTP/1.1 are to come from the worker's own pool, where responses are looked at, and streams by way of
//! Pingora's proxy from Pingora's. Which of the two is asked has to be said before there is a connection: what the endpoint
//! has chosen last says it. One that chooses otherwise, or for the first time, is noticed before anything is sent. The same
//! attempt goes on the other way then, so that nothing fails and nothing counts because of that.

use http::Version;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::ServerSession;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::context::Context;
use super::failure;
use crate::upstream::CHOSE_OTHERWISE;

/// The endpoint of one attempt chooses otherwise so often at most. Once is a change of its mind; more are servers
/// of several kinds behind one address.
const MOST_TURNS: u8 = 16;

/// What the endpoint of an attempt may choose.
#[derive(Default)]
pub(super) struct Choice {
    /// Whether it has a choice.
    free: bool,
    /// Whether it is to choose HTTP/2, as its connection is one of Pingora's.
    awaits_http2: bool,
    /// How the attempt goes on after it has chosen otherwise.
    goes_on: Option<Way>,
    /// How often it has.
    turns: u8,
}

/// How an attempt gets its connection.
pub(super) struct Way {
    pub(super) peer: Box<HttpPeer>,
    /// Whether from the worker's own pool, to speak HTTP/1.1 over it.
    pub(super) http1: bool,
}

impl Choice {
    /// What these leave to an endpoint.
    pub(super) fn of(options: &PeerOptions) -> Self {
        Self {
            free: options.alpn == ALPN::H2H1,
            ..Self::default()
        }
    }
}

impl Context {
    /// How the next attempt by way of Pingora's proxy gets its connection, or the present one another.
    ///
    /// # Errors
    /// There is to be none.
    pub(super) async fn next_way(&mut self, session: &mut ServerSession) -> Result<Way> {
        let way = match self.attempts.choice.goes_on.take() {
            Some(way) => way,
            None => {
                let peer = self.begin_attempt(session).await?;
                let place = self.attempts.open.as_ref();
                let chosen = place.is_some_and(|place| place.endpoint().chose_http1());
                let http1 = peer.options.alpn == ALPN::H1 || self.attempts.choice.free && chosen;
                Way { peer, http1 }
            }
        };
        self.attempts.choice.awaits_http2 = self.attempts.choice.free && !way.http1;
        Ok(way)
    }

    /// There is a connection for this head.
    ///
    /// # Errors
    /// Its endpoint was to choose HTTP/2, and has not: HTTP/1.1 is not spoken over a connection that nobody looks at.
    pub(super) fn check_choice(&self, head: &RequestHeader) -> Result<()> {
        match self.attempts.choice.awaits_http2 && head.version != Version::HTTP_2 {
            true => Err(Error::explain(CHOSE_OTHERWISE, "HTTP/1.1 instead of HTTP/2").into_up()),
            false => Ok(()),
        }
    }

    /// Remembers what the endpoint has chosen, where it was free to, and the connection for this head is new.
    pub(super) fn note_choice(&self, head: &RequestHeader) {
        if self.attempts.choice.free && !self.attempts.reused {
            self.chose(head.version == Version::HTTP_2);
        }
    }

    fn chose(&self, http2: bool) {
        if let Some(place) = &self.attempts.open {
            place.endpoint().chose(http2);
        }
    }

    /// Whether an attempt has ended because its endpoint has chosen another protocol than was expected, or does not
    /// know the one any more that it has just chosen: behind its address there may be servers of several kinds.
    pub(super) fn chose_otherwise(&self, error: &Error) -> bool {
        let choice = &self.attempts.choice;
        let otherwise =
            *error.etype() == CHOSE_OTHERWISE || choice.turns > 0 && failure::lacks_protocol(error);
        otherwise && choice.turns < MOST_TURNS
    }

    /// The endpoint has chosen otherwise, and nothing was sent: the attempt goes on with what it has chosen. If that is
    /// HTTP/1.1, nothing else is offered any more.
    pub(super) fn take_other_way(
        &mut self,
        peer: &HttpPeer,
        mut error: Box<Error>,
        http2: bool,
    ) -> Box<Error> {
        self.chose(http2);
        self.attempts.choice.turns += 1;
        let left = self.time_left();
        error.set_retry(left.is_ok());
        match left {
            Ok(left) => {
                let mut peer = Box::new(peer.clone());
                peer.options.alpn = if http2 { ALPN::H2H1 } else { ALPN::H1 };
                self.attempts.times.bound(&mut peer, left);
                let http1 = !http2;
                self.attempts.choice.goes_on = Some(Way { peer, http1 });
            }
            Err(_) => self.end_attempt(), // the reply that says so waits
        }
        error
    }

    /// An endpoint that has chosen HTTP/2 does not get along with it, or says so (RFC 9113, 7): it is not offered again.
    pub(super) fn note_downgrade(&self, error: &Error) {
        use ErrorType::{H2Downgrade, InvalidH2};
        let failed = self.attempts.choice.free && matches!(error.etype(), H2Downgrade | InvalidH2);
        if let Some(place) = self.attempts.open.as_ref().filter(|_| failed) {
            place.endpoint().give_up_http2();
        }
    }
}
