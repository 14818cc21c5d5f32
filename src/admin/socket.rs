//! Where the admin API and the metrics listen.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use http::header::CONTENT_LENGTH;
use pingora_core::protocols::IO;
use pingora_core::protocols::http::ServerSession;
use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::{Admin, Answer, Over, Scope};
use crate::compile::Settings;
use crate::config::model::Bind;
use crate::listen::{Bound, Handed, Listener, Seldom};
use crate::proxy::Connection;

/// Connections beyond this many wait until another ends; one that has not asked anything yet gives way
/// to them, the one that is there longest first.
const MOST_CONNECTIONS: u32 = 64;
/// How long a client may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads where the admin API is to listen: `127.0.0.1:9901`, or `unix:/path` for its owner and group only.
///
/// # Errors
/// What was expected instead.
pub fn address(text: &str) -> Result<Bind, String> {
    if !text.starts_with("unix:") && text.parse::<SocketAddr>().is_err() {
        return Err(format!(
            "expected an address such as `127.0.0.1:9901` or `unix:/run/wiregate/admin.sock`, found `{text}`"
        ));
    }
    match Bind::try_from(text.to_owned())? {
        Bind::Tcp(address) if !address.ip().is_loopback() => Err(format!(
            "expected a loopback address, found `{text}`: the admin API asks nobody for a password"
        )),
        bind => Ok(bind),
    }
}

/// Opens a socket that the configuration asks for, or takes it out of those that another process
/// has opened.
///
/// # Errors
/// The system's, with the address.
pub fn open(scope: Scope, bind: &Bind, handed: &mut Vec<Handed>) -> io::Result<Bound> {
    let at = handed.iter().position(|handed| handed.bind == *bind);
    let handed = at.and_then(|at| handed.remove(at).bound.pop());
    handed
        .map_or_else(|| Bound::open(bind), Ok)
        .map_err(|error| {
            let message = format!("{} cannot bind {bind}: {error}", scope.word());
            io::Error::new(error.kind(), message)
        })
}

/// What is to be answered where.
///
/// # Errors
/// An address that the admin API cannot have.
pub fn asked(settings: &Settings) -> io::Result<Vec<(Scope, Bind)>> {
    let admin = settings.admin.as_deref().map(address).transpose();
    let admin = admin.map_err(io::Error::other)?;
    let admin = admin.map(|bind| (Scope::All, bind));
    let metrics = settings.metrics.clone();
    Ok((admin.into_iter())
        .chain(metrics.map(|bind| (Scope::Metrics, bind)))
        .collect())
}

/// The admin API while it answers.
#[derive(Debug)]
pub struct Serving {
    accepting: AbortHandle,
    places: Arc<Semaphore>,
    socket: Bound,
}

impl Serving {
    /// Answers as long as the process lives, so that probes see it drain.
    ///
    /// # Errors
    /// The system's.
    pub fn start(socket: Bound, admin: Arc<Admin>, runtime: &Handle) -> io::Result<Self> {
        let _runtime = runtime.enter();
        let listener = socket.share()?.listen()?;
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
        let over = match socket.address {
            Bind::Tcp(_) => Over::Tcp,
            Bind::Unix(_) => Over::Unix,
        };
        let serving = serve(listener, over, admin, places.clone());
        Ok(Self {
            accepting: runtime.spawn(serving).abort_handle(),
            places,
            socket,
        })
    }

    /// The socket once more, for another process.
    ///
    /// # Errors
    /// The system's.
    pub fn hand_out(&self) -> io::Result<Bound> {
        self.socket.share()
    }

    /// The socket's file is this process's to remove.
    pub fn own(&self) {
        self.socket.own(true);
    }

    /// Takes no more requests: another process answers them.
    pub fn leave(&self) {
        self.socket.own(false);
        self.accepting.abort();
    }

    /// Waits until those that were asked are answered.
    pub async fn finish(&self) {
        let all = self.places.acquire_many(MOST_CONNECTIONS);
        // A client that takes its time is not waited for.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

async fn serve(listener: Listener, over: Over, admin: Arc<Admin>, places: Arc<Semaphore>) {
    let mut silent = VecDeque::new();
    let trouble = Seldom::default();
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                let stream = Box::new(Connection::new(socket, address));
                let place = place(&places, &mut silent).await;
                let (tell, told) = oneshot::channel();
                silent.push_back(tell);
                let admin = admin.clone();
                tokio::spawn(async move {
                    let _place = place;
                    converse(stream, told.fuse(), over, &admin).await;
                });
            }
            // Too many open files, or a client that has gone already: neither lasts.
            Err(error) => {
                if let Some(times) = trouble.happened() {
                    let who = admin.scope.word();
                    tracing::warn!(%error, times, "{who} cannot accept a connection");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A place, which one of those that have said nothing has to give up where there is none.
async fn place(places: &Arc<Semaphore>, silent: &mut VecDeque<Sender<()>>) -> OwnedSemaphorePermit {
    silent.retain(|tell| !tell.is_closed());
    if places.available_permits() == 0 {
        let _ = silent.pop_front().map(|tell| tell.send(()));
    }
    let place = places.clone().acquire_owned().await;
    place.expect("nobody closes the semaphore")
}

/// Comes when a connection has to give up its place; whose [`serve`] has ended never has to.
type GivesWay = Fuse<oneshot::Receiver<()>>;

/// One request and its answer. The connection ends with it: whoever asks a few times a minute
/// gains nothing from one that stays, and would hold a place meanwhile.
async fn converse(stream: Box<dyn IO>, mut gives_way: GivesWay, over: Over, admin: &Admin) {
    let mut session = ServerSession::new_http1(stream);
    let asked = tokio::select! {
        asked = tokio::time::timeout(PATIENCE, session.read_request()) => asked,
        Ok(()) = &mut gives_way => return,
    };
    if !matches!(asked, Ok(Ok(true))) {
        return; // it said nothing in time, or nothing that is a request
    }
    if admin.scope == Scope::All {
        gives_way = GivesWay::terminated(); // what it has asked for is done to its end
    }
    session.set_keepalive(None);
    // However long a reload takes, it is the gateway's time and not the client's.
    let answer = admin.respond(session.req_header(), over).await;
    // On the metrics listener anybody may ask: who does not take the answer keeps nobody else out.
    if !is_taken(session, answer, gives_way).await {
        tracing::debug!("a client of {} did not take its answer", admin.scope.word());
    }
}

/// Sends an answer; whether the client took all of it in time, and before it had to give way.
async fn is_taken(session: ServerSession, answer: Answer, gives_way: GivesWay) -> bool {
    let sending = tokio::time::timeout(PATIENCE, send(session, answer));
    tokio::select! {
        answered = sending => matches!(answered, Ok(Ok(()))),
        Ok(()) = gives_way => false,
    }
}

async fn send(mut session: ServerSession, answer: Answer) -> pingora_error::Result<()> {
    let (mut head, body) = answer.into_parts();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    session.write_response_header(Box::new(head.into())).await?;
    if !body.is_empty() {
        session.write_response_body(body.into(), true).await?;
    }
    session.finish().await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;

    /// More than the system takes for a client that reads nothing.
    const LARGE: usize = 32 << 20;

    /// A client that has asked, and the session in which it is answered.
    async fn asked() -> (TcpStream, ServerSession) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let mut client = client.await.unwrap();
        let (socket, address) = listener.accept().await.unwrap();
        let ask = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(ask).await.unwrap();
        let stream = Box::new(Connection::new(socket, address));
        let mut session = ServerSession::new_http1(stream);
        assert!(session.read_request().await.unwrap());
        session.set_keepalive(None);
        (client, session)
    }

    fn large() -> Answer {
        super::super::text(http::StatusCode::OK, &"x".repeat(LARGE))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_answer_is_let_go() {
        let (mut client, session) = asked().await;
        let (_tell, told) = oneshot::channel();
        let began = Instant::now();
        assert!(!is_taken(session, large(), told.fuse()).await);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
        let mut read = Vec::new();
        let _ = client.read_to_end(&mut read).await;
        assert!(read.starts_with(b"HTTP/1.1 200 ") && read.len() < LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_to_give_way_is_let_go_at_once() {
        let (_client, session) = asked().await;
        let (tell, told) = oneshot::channel();
        let began = Instant::now();
        let telling = async {
            tokio::time::sleep(PATIENCE / 2).await;
            tell.send(()).unwrap();
        };
        let (taken, ()) = tokio::join!(is_taken(session, large(), told.fuse()), telling);
        assert!(!taken);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs() / 2);
    }

    #[tokio::test]
    async fn one_that_takes_its_answer_gets_all_of_it() {
        let (mut client, session) = asked().await;
        let (tell, told) = oneshot::channel();
        drop(tell); // nobody will ask it to give way
        let mut read = Vec::new();
        let reading = client.read_to_end(&mut read);
        let (taken, length) = tokio::join!(is_taken(session, large(), told.fuse()), reading);
        assert!(taken && length.unwrap() > LARGE);
    }

    #[test]
    fn binds_only_where_nobody_else_can_come() {
        assert!(matches!(address("127.0.0.1:9901"), Ok(Bind::Tcp(_))));
        assert!(matches!(address("[::1]:9901"), Ok(Bind::Tcp(_))));
        assert!(matches!(address("unix:/run/a.sock"), Ok(Bind::Unix(_))));
        for wrong in [
            "0.0.0.0:9901",
            "unix:run/a.sock",
            "localhost",
            "",
            "127.0.0.1",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
