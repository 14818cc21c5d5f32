//! The exporters that run, and how they end.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Exporter;

/// The thread of an exporter.
#[derive(Debug)]
pub(super) struct Running {
    close: watch::Sender<Option<Instant>>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    pub(super) fn new(close: watch::Sender<Option<Instant>>, ended: mpsc::Receiver<()>) -> Self {
        Self { close, ended }
    }

    fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(mpsc::TryRecvError::Disconnected)
    }
}

/// The exporters of a gateway whose threads were started: that of the live configuration, and those
/// that still send what they have of former ones.
#[derive(Debug, Default)]
pub struct Exporters(Mutex<Vec<Running>>);

impl Exporters {
    /// Starts an exporter; nothing where it runs already.
    ///
    /// # Errors
    /// The system's.
    pub fn start(&self, exporter: &Exporter) -> io::Result<()> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|one| !one.has_ended());
        running.extend(exporter.start()?);
        Ok(())
    }

    /// Tells all of them to send what they have within this time, and to end.
    pub fn close(&self, grace: Duration) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + grace;
        for one in &*running {
            one.close.send_replace(Some(deadline));
        }
    }

    /// Waits until they have, but no longer than this for all of them together. False if that was not
    /// enough.
    pub fn ended(&self, patience: Duration) -> bool {
        let running = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = Instant::now() + patience;
        running.iter().all(|one| {
            let left = deadline.saturating_duration_since(Instant::now());
            one.ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
        })
    }
}
