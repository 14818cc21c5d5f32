//! A Redis, or what speaks like one, that several gateways share.
//!
//! All filters that name the same servers share one connection, which is made by the first request
//! and made anew when it breaks. A request waits for no longer than its deadline; while the servers
//! are known to be unreachable it does not wait at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::servers::{Line, Servers};

/// How long it may take to connect, and to see that the server answers.
const DIAL: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many calls in a row without an answer, the connection is given up: it may lead nowhere.
const MOST_MISSED: u32 = 3;
/// How often trouble is told, in milliseconds, as long as there is any.
const TELL_EVERY: u64 = 10_000;

/// The servers, and the connection to them.
pub(super) struct Remote {
    servers: Servers,
    line: ArcSwapOption<Line>,
    /// Whether a task is about to connect.
    dialling: AtomicBool,
    /// Whether the last attempt to connect has failed, or takes too long.
    down: AtomicBool,
    /// An attempt to connect has ended.
    dialled: Notify,
    /// Calls in a row that had no answer.
    missed: AtomicU32,
    start: Instant,
    /// From when on trouble may be told again, in milliseconds since the start.
    tell_from: AtomicU64,
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
            line: ArcSwapOption::empty(),
            dialling: AtomicBool::new(false),
            down: AtomicBool::new(false),
            dialled: Notify::new(),
            missed: AtomicU32::new(0),
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
        self: &Arc<Self>,
        script: &Script,
        key: &str,
        arguments: &[String],
        deadline: Duration,
    ) -> Result<T, Outage> {
        let answer = timeout(deadline, self.ask(script, key, arguments)).await;
        answer.unwrap_or_else(|_| {
            match self.line.load_full() {
                None => self.is_down("no connection in time"),
                Some(line) => self.miss(&line),
            }
            Err("no answer in time".to_owned())
        })
    }

    async fn ask<T: FromRedisValue>(
        self: &Arc<Self>,
        script: &Script,
        key: &str,
        arguments: &[String],
    ) -> Result<T, Outage> {
        let line = self.line().await?;
        let call = |command: &str, script: &str| -> Cmd {
            let mut call = redis::cmd(command);
            call.arg(script).arg(1).arg(key).arg(arguments);
            call
        };
        let mut answer = line.query(&call("EVALSHA", &script.digest)).await;
        if answer.as_ref().is_err_and(is_unknown_script) {
            answer = line.query(&call("EVAL", script.source)).await;
        }
        match (&answer, &*line) {
            (Err(error), Line::One(_)) if breaks(error) => self.lose(&line),
            // One of its nodes may be gone; its other connections are good, and it mends itself.
            (Err(error), Line::Cluster(_)) if breaks(error) => self.miss(&line),
            _ => self.missed.store(0, Relaxed),
        }
        answer.map_err(|error| self.trouble(error.to_string()))
    }

    /// The connection, once there is one; an error at once where the servers are known to be
    /// unreachable.
    async fn line(self: &Arc<Self>) -> Result<Arc<Line>, Outage> {
        loop {
            let dialled = self.dialled.notified();
            if let Some(line) = self.line.load_full() {
                return Ok(line);
            }
            if self.down.load(Relaxed) {
                return Err("there is no connection".to_owned());
            }
            self.dial();
            dialled.await;
        }
    }

    /// A call has had no answer over this connection.
    fn miss(self: &Arc<Self>, line: &Arc<Line>) {
        self.trouble("no answer".to_owned());
        if self.missed.fetch_add(1, Relaxed) + 1 >= MOST_MISSED {
            self.lose(line);
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

    /// Gives up a connection, unless that has been done, and makes another one.
    fn lose(self: &Arc<Self>, line: &Arc<Line>) {
        let held = self.line.compare_and_swap(line, None);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, line)) {
            self.missed.store(0, Relaxed);
            self.dial();
        }
    }

    fn is_down(&self, why: &str) {
        if !self.down.swap(true, Relaxed) {
            tracing::warn!(servers = %self.servers, "redis is unreachable: {why}");
        }
    }

    /// Connects, with pauses in between, until that succeeds or nobody wants it any more.
    fn dial(self: &Arc<Self>) {
        if self.dialling.swap(true, Relaxed) {
            return;
        }
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = SHORTEST_PAUSE;
            while let Some(this) = this.upgrade() {
                if this.dial_once().await {
                    return;
                }
                drop(this);
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        });
    }

    async fn dial_once(self: &Arc<Self>) -> bool {
        let (this, runtime) = (self.clone(), Handle::current());
        // The authorities for TLS are read from files, which would hold up the worker.
        let dial = move || runtime.block_on(timeout(DIAL, this.servers.connect()));
        let connected = match spawn_blocking(dial).await {
            Ok(Ok(connected)) => connected.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("no connection in time".to_owned()),
            Err(panic) => Err(panic.to_string()),
        };
        let good = match connected {
            Ok(line) => {
                self.line.store(Some(Arc::new(line)));
                self.dialling.store(false, Relaxed);
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
