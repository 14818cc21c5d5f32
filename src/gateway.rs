//! A running gateway: workers, signals, the admin listener, and the way to an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use pingora_core::apps::{HttpServerApp, HttpServerOptions};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use wiregate_sdk::{Clock, Registry};

use crate::admin::{self, Admin};
use crate::compile::Snapshot;
use crate::config::model::Bind;
use crate::listen::{Accepting, Listeners, Unbound, Worker};
use crate::observe::metrics::Metrics;
use crate::proxy::{Engine, Shared};
use crate::reload::{self, Refused, Reloader};

/// More attempts than any upstream may ask for.
const MOST_ATTEMPTS: usize = 64;
/// How long the log may take to write what it still has at the end.
const LOG_GRACE: Duration = Duration::from_secs(5);

/// Why a gateway did not start, or did not go on.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is refused.
    Refused(Refused),
    /// The system does not allow something.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A running gateway. Dropping it stops it at once.
pub struct Gateway {
    listeners: Arc<Listeners>,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    workers: Workers,
    control: Runtime,
}

/// Runs a gateway until a signal ends it: TERM lets requests in flight finish, INT and a second
/// TERM do not; HUP reloads the configuration, USR1 opens the access log anew.
///
/// # Errors
/// Why it did not start.
pub fn run(registry: Registry, path: PathBuf) -> Result<(), Failure> {
    let gateway = Gateway::start(registry, path)?;
    let (shared, reloader) = (gateway.shared.clone(), gateway.reloader.clone());
    let mut signals = {
        let _runtime = gateway.control.enter();
        Signals::listen()?
    };
    let told = signals.until_told_to_stop(&shared, &reloader);
    let patient = gateway.control.block_on(told);
    if patient {
        gateway.stop_unless(signals.until_impatient());
    }
    Ok(())
}

impl Gateway {
    /// Starts a gateway.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start(registry: Registry, path: PathBuf) -> Result<Self, Failure> {
        // Pingora brings another provider along; whoever comes first is used by all TLS here.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = Metrics::new();
        let loaded = reload::load(&path, &registry, &metrics, None).map_err(Failure::Refused)?;
        let (snapshot, sources) = (Arc::new(loaded.snapshot), loaded.sources);
        let log = reload::open_log(&snapshot.settings.access_log)?;
        let control = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()?;
        snapshot.open_stores(&Clock::default()).map_err(unopened)?;
        snapshot.prepare(control.handle());
        metrics.keep_only(reload::names(&snapshot));
        reload::report(&metrics, snapshot.generation);
        let shared = Shared::new(snapshot.clone(), metrics, log, Clock::default());
        let shared = Arc::new(shared);

        // Every socket is there before anything is said to be ready.
        let processors = std::thread::available_parallelism()?;
        let count = snapshot.settings.workers.unwrap_or(processors);
        let (listeners, accepting) = Listeners::new(count.get());
        let listeners = Arc::new(listeners);
        let opened = listeners.prepare(&snapshot.listeners).map_err(together)?;
        let admin = (snapshot.settings.admin.as_deref())
            .map(admin::Socket::open)
            .transpose()?;

        snapshot.go_live(control.handle());
        let workers = Workers::start(&shared, &snapshot, accepting)?;
        listeners.change_to(opened);
        let handle = control.handle().clone();
        let reloader = Reloader::new(
            path,
            registry,
            shared.clone(),
            listeners.clone(),
            handle,
            &sources,
        );
        let reloader = Arc::new(reloader);
        control.spawn(reloader.clone().watch());
        if let Some(socket) = admin {
            tracing::info!(address = socket.address(), "the admin API is listening");
            let admin = Admin::new(shared.clone(), reloader.clone());
            control.spawn(admin::serve(socket, admin));
        }
        Ok(Self {
            listeners,
            shared,
            reloader,
            workers,
            control,
        })
    }

    /// The address of a listener on TCP, with the port that the system chose where 0 was asked for.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        match self.listeners.address(listener)? {
            Bind::Tcp(address) => Some(address),
            Bind::Unix(_) => None,
        }
    }

    /// Reads the configuration again and takes it live; returns its number.
    ///
    /// # Errors
    /// Every problem; the running configuration stays.
    pub fn reload(&self) -> Result<u64, Refused> {
        self.reloader.reload()
    }

    /// Accepts no more connections, and lets requests in flight finish within `limits.drain`.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    /// The same, but returns at once when told to.
    fn stop_unless(self, impatient: impl Future<Output = ()>) {
        self.shared.draining.store(true, Ordering::Release);
        let drain: Duration = self.shared.live.load().settings.limits.drain.into();
        tracing::info!(
            ?drain,
            "stopping: no more connections, requests in flight go on"
        );
        self.listeners.stop();
        let ended = self.control.block_on(async {
            tokio::select! {
                () = self.workers.end(drain) => true,
                () = impatient => false,
            }
        });
        if !ended {
            tracing::warn!("requests in flight are cut off by a signal");
            return;
        }
        if let Some(log) = &**self.shared.access_log.load() {
            log.close(LOG_GRACE);
        }
    }
}

/// The signals that a gateway acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Acts on signals until one of them ends the gateway; returns whether it may take its time.
    async fn until_told_to_stop(&mut self, shared: &Arc<Shared>, reloader: &Arc<Reloader>) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return true,
                _ = self.interrupt.recv() => return false,
                _ = self.hangup.recv() => drop(reloader.reload_aside().await),
                _ = self.reopen.recv() => {
                    if let Some(Err(error)) = shared.access_log.load().as_ref().as_ref().map(|log| log.reopen()) {
                        tracing::error!(%error, "the access log cannot be opened anew, the old file stays");
                    }
                }
            }
        }
    }

    /// Returns when whoever asked the gateway to end asks again.
    async fn until_impatient(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The threads that carry the traffic. Each has a runtime, a set of upstream connections and a
/// share of the accepted connections of its own, so that no two of them wait for each other.
struct Workers {
    proxies: Vec<Arc<HttpProxy<Engine>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        accepting: Vec<UnboundedReceiver<Accepting>>,
    ) -> io::Result<Self> {
        let count = accepting.len();
        let limits = &snapshot.settings.limits;
        let conf = Arc::new(ServerConf {
            threads: 1,
            max_retries: MOST_ATTEMPTS,
            upstream_keepalive_pool_size: limits.idle_upstream_connections.get(),
            ..ServerConf::default()
        });
        let mut workers = Self {
            proxies: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
        };
        for (number, accepting) in accepting.into_iter().enumerate() {
            let mut proxy = http_proxy(&conf, Engine::new(shared.clone(), &conf));
            let mut options = HttpServerOptions::default();
            // CONNECT is refused by us, so that it gets a reply like all others.
            options.allow_connect_method_proxying = true;
            proxy.server_options = Some(options);
            let proxy = Arc::new(proxy);
            let worker = Worker {
                proxy: proxy.clone(),
                shared: shared.clone(),
                idle: limits.idle.into(),
            };
            let work = work(worker, accepting);
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(work))?;
            workers.proxies.push(proxy);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Waits for the workers to finish what they have, but not longer than this.
    async fn end(self, deadline: Duration) {
        for proxy in &self.proxies {
            proxy.http_cleanup().await; // idle connections need not be waited for
        }
        let (ending, ended) = tokio::sync::oneshot::channel::<Infallible>();
        // Not the runtime's own thread: it would wait at its end for requests that are cut off.
        std::thread::spawn(move || {
            self.threads
                .into_iter()
                .for_each(|thread| drop(thread.join()));
            drop(ending);
        });
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!(
                ?deadline,
                "some requests were cut off at the end of the drain time"
            );
        }
    }
}

/// Accepts from the listeners that it is told of, until there will be no more of them.
async fn work(worker: Worker, mut accepting: UnboundedReceiver<Accepting>) {
    let mut listeners = JoinSet::new();
    loop {
        tokio::select! {
            next = accepting.recv() => match next {
                Some(next) => drop(listeners.spawn(worker.clone().accept(next))),
                None => break,
            },
            Some(ended) = listeners.join_next() => tell(ended),
        }
    }
    while let Some(ended) = listeners.join_next().await {
        tell(ended);
    }
}

fn tell(ended: Result<io::Result<()>, tokio::task::JoinError>) {
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    };
    tracing::error!(%error, "a listener failed");
}

/// One error of all listeners that cannot be opened.
fn unopened(failed: Vec<(Arc<str>, io::Error)>) -> io::Error {
    let each = failed.iter();
    let errors = each.map(|(name, error)| format!("the cache `{name}` cannot be opened: {error}"));
    io::Error::other(errors.collect::<Vec<_>>().join("; "))
}

fn together(unbound: Vec<Unbound>) -> io::Error {
    let errors = unbound
        .into_iter()
        .map(|unbound| io::Error::from(unbound).to_string());
    io::Error::other(errors.collect::<Vec<_>>().join("; "))
}
