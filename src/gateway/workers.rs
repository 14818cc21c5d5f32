//! The threads that carry the traffic.

use std::convert::Infallible;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, ProxyServiceBuilder};
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::compile::Snapshot;
use crate::listen::{Task, Worker};
use crate::observe::metrics::count_as;
use crate::proxy::{Engine, Proxy, Shared};
use crate::upstream::authorities;

/// More than all attempts that an upstream may ask for, where each takes as many connections as it may because its endpoint
/// chooses now this protocol and now that.
const MOST_ATTEMPTS: usize = 192;

/// The threads that carry the traffic. Each has a runtime, a set of upstream connections and a
/// share of the accepted connections of its own, so that no two of them wait for each other.
#[derive(Default)]
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start(
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        tasks: Vec<UnboundedReceiver<Task>>,
    ) -> io::Result<Self> {
        let count = tasks.len();
        let limits = &snapshot.settings.limits;
        let conf = Arc::new(ServerConf {
            threads: 1,
            max_retries: MOST_ATTEMPTS,
            upstream_keepalive_pool_size: limits.idle_upstream_connections.get(),
            ca_file: authorities::ca_file(),
            ..ServerConf::default()
        });
        let (begun, begins) = mpsc::channel();
        let mut workers = Self {
            threads: Vec::with_capacity(count),
        };
        for (number, tasks) in tasks.into_iter().enumerate() {
            let (conf, shared, idle) = (conf.clone(), shared.clone(), limits.idle.into());
            let begun = begun.clone();
            let load = shared.overload.worker();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    count_as(number);
                    // Here, so that all of them read the system's certificates at the same time.
                    let proxy = proxy(&conf, Engine::new(shared.clone(), &conf));
                    let _ = begun.send(());
                    drop(begun);
                    let worker = Worker {
                        proxy: Arc::new(proxy),
                        shared,
                        load,
                        idle,
                    };
                    runtime.block_on(work(worker, tasks));
                })?;
            workers.threads.push(thread);
        }
        drop(begun);
        match begins.iter().count() {
            all if all == count => Ok(workers),
            _ => Err(io::Error::other("a worker could not begin")),
        }
    }

    /// Waits for the workers to finish what they have, but not longer than this.
    pub(super) async fn end(self, deadline: Duration) {
        let (ending, ended) = tokio::sync::oneshot::channel::<Infallible>();
        // Not the runtime's own thread: it would wait at its end for requests that are cut off.
        std::thread::spawn(move || {
            self.threads
                .into_iter()
                .for_each(|thread| drop(thread.join()));
            drop(ending);
        });
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!("some connections were cut off without a goodbye");
        }
    }
}

/// What a worker serves requests with.
fn proxy(conf: &Arc<ServerConf>, engine: Engine) -> Proxy {
    let mut options = HttpServerOptions::default();
    // CONNECT is refused by us, so that it gets a reply like all others.
    options.allow_connect_method_proxying = true;
    let pool = engine.pool().clone();
    let service = ProxyServiceBuilder::new(conf, engine.clone())
        .server_options(options)
        .custom(pool, Arc::new(|_, _, _| Box::pin(async { None })))
        .build();
    // A proxy with a connector of its own is to be had inside of a service for Pingora's listeners only, and
    // nothing takes it out again.
    let service = ManuallyDrop::new(service);
    let pingora: *const HttpProxy<_, _> = service.app_logic().expect("it has just been put in");
    // SAFETY: it is read once, and the service around it is neither used nor dropped after that: what it holds
    // besides, a name and an empty list, stays where it is.
    #[allow(unsafe_code)]
    let pingora = unsafe { ptr::read(pingora) };
    Proxy::new(engine, pingora)
}

/// Accepts from the listeners that it is told of, until there will be no more of them.
async fn work(worker: Worker, mut tasks: UnboundedReceiver<Task>) {
    let mut listeners = JoinSet::new();
    let load = tokio::spawn(worker.load.clone().watch(worker.shared.clone()));
    loop {
        tokio::select! {
            next = tasks.recv() => match next {
                Some(Task::Accept(next)) => drop(listeners.spawn(worker.clone().accept(next))),
                Some(Task::Answer(asked)) => drop(asked.send(())),
                None => break,
            },
            Some(ended) = listeners.join_next() => tell(ended),
        }
    }
    while let Some(ended) = listeners.join_next().await {
        tell(ended);
    }
    load.abort();
}

fn tell(ended: Result<io::Result<()>, tokio::task::JoinError>) {
    let error = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    };
    tracing::error!(%error, "a listener failed");
}
