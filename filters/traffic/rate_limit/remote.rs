//! A Redis, or what speaks like one, that several gateways share.
//!
//! All filters that name the same servers share one connection. A task makes it when the
//! configuration goes live, and anew when it breaks. A request waits for no longer than its deadline;
//! while the servers are known to be unreachable it does not wait at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::servers::{Line, Servers};

/// How long it may take to connect, and to see that the server answers.
const DIAL: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many stalls in a row, the connection is given up: it may lead nowhere.
const MOST_STALLS: u32 = 3;
/// How often trouble is told, in milliseconds, as long as there is any.
const TELL_EVERY: u64 = 10_000;

/// The servers, and the connection to them.
pub(super) struct Remote {
    servers: Servers,
    connection: ArcSwapOption<Connection>,
    /// Whoever holds it is the one who connects.
    turn: Mutex<()>,
    /// The connection was given up.
    lost: Notify,
    /// Whether the last attempt to connect has failed, or takes too long.
    down: AtomicBool,
    /// An attempt to connect has ended.
    dialled: Notify,
    start: Instant,
    /// From when on trouble may be told again, in milliseconds since the start.
    tell_from: AtomicU64,
}

/// A connection, and how it does.
struct Connection {
    line: Line,
    /// Stalls in a row: times in which calls had no answer.
    stalls: AtomicU32,
    /// When the last one was found, in nanoseconds since the start.
    found: AtomicU64,
}

impl Connection {
    fn new(line: Line) -> Self {
        Self {
            line,
            stalls: AtomicU32::new(0),
            found: AtomicU64::new(0),
        }
    }

    /// How many stalls there were in a row, with a call that began then and has had no answer until
    /// now. All that were under way at the same time are one.
    fn stalls(&self, began: u64, now: u64) -> u32 {
        let found = self.found.load(Relaxed);
        let swap = |found| self.found.compare_exchange(found, now, Relaxed, Relaxed);
        if began < found || swap(found).is_err() {
            return self.stalls.load(Relaxed);
        }
        self.stalls.fetch_add(1, Relaxed) + 1
    }
}

/// Why there is no answer.
pub(super) type Outage = String;

/// A script, and what it is called by.
pub(super) struct Script {
    source: &'static str,
    digest: String,
}

impl Script {
    pub(super) fn new(source: &'static str) -> Self {
        let digest = redis::Script::new(source).get_hash().to_owned();
        Self { source, digest }
    }
}

impl Remote {
    pub(super) fn new(servers: Servers) -> Self {
        Self {
            servers,
            connection: ArcSwapOption::empty(),
            turn: Mutex::new(()),
            lost: Notify::new(),
            down: AtomicBool::new(false),
            dialled: Notify::new(),
            start: Instant::now(),
            tell_from: AtomicU64::new(0),
        }
    }

    /// Runs a script on one key, in one round trip unless the server has never seen the script. It
    /// is never sent again after it may have run.
    ///
    /// # Errors
    /// Why there is no answer within the deadline.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        arguments: &[String],
        deadline: Duration,
    ) -> Result<T, Outage> {
        let began = Instant::now();
        let end = began + deadline;
        let Ok(connection) = timeout_at(end, self.connection()).await else {
            let why = "no connection in time";
            if self.connection.load().is_none() {
                self.is_down(why);
            }
            return Err(why.to_owned());
        };
        let connection = connection?;
        let ask = self.ask(&connection, began, script, key, arguments);
        timeout_at(end, ask).await.unwrap_or_else(|_| {
            self.miss(&connection, began);
            Err("no answer in time".to_owned())
        })
    }

    async fn ask<T: FromRedisValue>(
        &self,
        connection: &Arc<Connection>,
        began: Instant,
        script: &Script,
        key: &str,
        arguments: &[String],
    ) -> Result<T, Outage> {
        let line = &connection.line;
        let call = |command: &str, script: &str| -> Cmd {
            let mut call = redis::cmd(command);
            call.arg(script).arg(1).arg(key).arg(arguments);
            call
        };
        let mut answer = line.query(&call("EVALSHA", &script.digest)).await;
        if answer.as_ref().is_err_and(is_unknown_script) {
            answer = line.query(&call("EVAL", script.source)).await;
        }
        match (&answer, line) {
            (Err(error), Line::One(_)) if breaks(error) => self.lose(connection),
            // One of its nodes may be gone; its other connections are good, and it mends itself.
            (Err(error), Line::Cluster(_)) if breaks(error) => self.miss(connection, began),
            _ => connection.stalls.store(0, Relaxed),
        }
        answer.map_err(|error| self.trouble(error.to_string()))
    }

    /// The connection, once there is one; an error at once where the servers are known to be
    /// unreachable.
    async fn connection(&self) -> Result<Arc<Connection>, Outage> {
        loop {
            let dialled = self.dialled.notified();
            if let Some(connection) = self.connection.load_full() {
                return Ok(connection);
            }
            if self.down.load(Relaxed) {
                return Err("there is no connection".to_owned());
            }
            dialled.await;
        }
    }

    /// A call that began then has had no answer over this connection.
    fn miss(&self, connection: &Arc<Connection>, began: Instant) {
        self.trouble("no answer".to_owned());
        let since = |when: Instant| {
            let since = when.duration_since(self.start).as_nanos();
            u64::try_from(since).unwrap_or(u64::MAX)
        };
        if connection.stalls(since(began), since(Instant::now())) >= MOST_STALLS {
            self.lose(connection);
        }
    }

    /// Tells the operator from time to time that calls fail although there is a connection.
    fn trouble(&self, why: Outage) -> Outage {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let from = self.tell_from.load(Relaxed);
        let next = now.saturating_add(TELL_EVERY);
        let first = || {
            self.tell_from
                .compare_exchange(from, next, Relaxed, Relaxed)
        };
        if now >= from && first().is_ok() {
            tracing::warn!(servers = %self.servers, "redis does not do what it is asked: {why}");
        }
        why
    }

    /// Gives up a connection, unless that has been done.
    fn lose(&self, connection: &Arc<Connection>) {
        let held = self.connection.compare_and_swap(connection, None);
        if held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, connection))
        {
            self.lost.notify_one();
        }
    }

    fn is_down(&self, why: &str) {
        if !self.down.swap(true, Relaxed) {
            tracing::warn!(servers = %self.servers, "redis is unreachable: {why}");
        }
    }

    /// Connects whenever there is no connection, with pauses in between, for as long as the
    /// configuration lives. Not for a worker, whose other work would hold up the calls of all.
    pub(super) async fn stay_connected(self: Arc<Self>) {
        // Each filter that shares the connection has such a task, and so has the configuration
        // before this one until it is gone.
        let _turn = self.turn.lock().await;
        loop {
            let mut pause = SHORTEST_PAUSE;
            while self.connection.load().is_none() && !self.dial().await {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            self.lost.notified().await;
        }
    }

    /// Tries to connect; says whether that succeeded.
    async fn dial(self: &Arc<Self>) -> bool {
        let (this, runtime) = (self.clone(), Handle::current());
        // The authorities for TLS are read from files, which would hold up everything else.
        let dial = move || runtime.block_on(timeout(DIAL, this.servers.connect()));
        let connected = match spawn_blocking(dial).await {
            Ok(Ok(connected)) => connected.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("no connection in time".to_owned()),
            Err(panic) => Err(panic.to_string()),
        };
        let good = match connected {
            Ok(line) => {
                self.connection.store(Some(Arc::new(Connection::new(line))));
                if self.down.swap(false, Relaxed) {
                    tracing::info!(servers = %self.servers, "redis is back");
                }
                true
            }
            Err(why) => {
                self.is_down(&why);
                false
            }
        };
        self.dialled.notify_waiters();
        good
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether another connection may do better: this one is gone, or leads to a server that has become
/// a replica.
fn breaks(error: &RedisError) -> bool {
    use ServerErrorKind::{MasterDown, ReadOnly};
    let demoted = [MasterDown, ReadOnly].map(ErrorKind::Server);
    error.is_io_error() || error.is_unrecoverable_error() || demoted.contains(&error.kind())
}
