//! The thread behind the queue: takes entries in batches, formats and writes them.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::sink::{Batch, Passed, Sink};
use super::{Entry, Plan, Shared};

/// How many bytes are collected before a write.
const BATCH: usize = 256 << 10;
/// How long new entries may gather after a batch. While there is traffic the writer sleeps rather
/// than waits to be woken, so that workers are spared the system call.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Writer {
    plan: Arc<Plan>,
    sink: Sink,
    entries: Receiver<Entry>,
    shared: Arc<Shared>,
    batch: Batch,
    failing: bool,
}

/// What came of a look into the queue.
enum Drained {
    /// There was something.
    Something,
    /// There was nothing.
    Nothing,
    /// Nothing can be written for so long.
    NotNow(Duration),
}

impl Writer {
    pub(super) fn new(
        plan: Arc<Plan>,
        sink: Sink,
        entries: Receiver<Entry>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            plan,
            sink,
            entries,
            shared,
            batch: Batch::default(),
            failing: false,
        }
    }

    /// Writes until the log is closed and everything queued before is out.
    pub(super) fn run(mut self) {
        loop {
            // Read before the queue is: what was pushed before the close is then seen.
            let closing = self.closes();
            match (self.drain(), closing) {
                (Drained::Something, false) => std::thread::sleep(PAUSE),
                (Drained::Something, true) => {}
                (Drained::Nothing, false) => self.park(),
                (Drained::NotNow(wait), false) => std::thread::park_timeout(wait),
                (Drained::Nothing, true) => return,
                (Drained::NotNow(_), true) => return self.give_up(),
            }
        }
    }

    /// Writes what is queued.
    fn drain(&mut self) -> Drained {
        let mut found = !self.batch.is_empty();
        self.switch();
        if let Err(wait) = self.flush() {
            return Drained::NotNow(wait);
        }
        while let Ok(entry) = self.entries.try_recv() {
            found = true;
            self.sink.add(&self.plan, &entry, &mut self.batch);
            if self.batch.len() >= BATCH {
                if let Err(wait) = self.flush() {
                    return Drained::NotNow(wait);
                }
                self.switch();
            }
        }
        match self.flush() {
            Err(wait) => Drained::NotNow(wait),
            Ok(()) if found => Drained::Something,
            Ok(()) => Drained::Nothing,
        }
    }

    /// Sleeps until there is something to do.
    fn park(&mut self) {
        self.shared.parked.store(true, Ordering::Relaxed);
        // Pairs with the fence in `AccessLog::write`.
        fence(Ordering::SeqCst);
        let idle = !self.closes() && matches!(self.drain(), Drained::Nothing);
        if idle {
            // Returns at once if somebody has woken this thread since.
            std::thread::park();
        }
        self.shared.parked.store(false, Ordering::Relaxed);
    }

    /// Continues with the file that a reopening left here.
    fn switch(&mut self) {
        if let Some(file) = self.shared.next().take() {
            self.sink.exchange(file);
        }
    }

    /// Writes the batch, or says how long to wait before what is left of it is tried again.
    fn flush(&mut self) -> Result<(), Duration> {
        let Passed {
            written,
            dropped,
            result,
        } = self.sink.pass(&mut self.batch, &self.shared.closing);
        self.shared.written.fetch_add(written, Ordering::Relaxed);
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        let tried = written + dropped > 0;
        match result {
            Err(failed) => {
                if let Some(error) = &failed.error {
                    self.report(error);
                }
                failed.wait.map_or(Ok(()), Err)
            }
            Ok(()) => {
                if tried && self.failing {
                    let dropped = self.shared.dropped.load(Ordering::Relaxed);
                    tracing::info!(dropped, "the access log is written again");
                    self.failing = false;
                }
                Ok(())
            }
        }
    }

    /// Says once that writing fails.
    fn report(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            match self.sink {
                Sink::File(_) => {
                    tracing::error!(%error, "the access log cannot be written, entries are dropped");
                }
                Sink::Syslog(_) => {
                    tracing::error!(%error, "the access log cannot be sent: entries wait, and are dropped when there are too many");
                }
            }
        }
    }

    /// Counts as dropped whatever is left.
    fn give_up(mut self) {
        let mut left = self.batch.lines() as u64;
        while self.entries.try_recv().is_ok() {
            left += 1;
        }
        self.batch.clear();
        self.shared.dropped.fetch_add(left, Ordering::Relaxed);
    }

    fn closes(&self) -> bool {
        self.shared.closing.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::mpsc::sync_channel;

    use super::super::tests::entry;
    use super::super::{Output, sink};
    use super::*;

    const O_NONBLOCK: i32 = 0o4000;

    #[test]
    fn a_line_torn_by_a_full_output_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let mut pipe = File::options();
        pipe.read(true).write(true).custom_flags(O_NONBLOCK);
        let mut reader = pipe.open(&path).unwrap();
        let shared = Arc::new(Shared::default());
        // A log that is being closed does not wait for room.
        shared.closing.store(true, Ordering::SeqCst);
        let (_queue, entries) = sync_channel(1);
        let plan = Arc::new(Plan::plain(Output::Stdout));
        let sink = Sink::File(sink::Lines::new(pipe.open(&path).unwrap(), None));
        let mut writer = Writer::new(plan, sink, entries, Arc::clone(&shared));
        let add = |writer: &mut Writer, target: &str| {
            writer
                .sink
                .add(&writer.plan, &entry(target), &mut writer.batch);
        };

        // More than the pipe holds, so that the last line that fits is cut.
        for _ in 0..1000 {
            add(&mut writer, "/first");
        }
        writer.flush().unwrap();
        let mut buffer = vec![0; 1 << 20];
        let got = reader.read(&mut buffer).unwrap();
        add(&mut writer, "/second");
        writer.flush().unwrap();
        let end = got + reader.read(&mut buffer[got..]).unwrap();

        let text = String::from_utf8(buffer[..end].to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let [whole @ .., torn, last] = &lines[..] else {
            panic!("expected lines, found {text:?}");
        };
        let parses = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(whole.iter().all(parses));
        assert!(!parses(torn), "{torn}");
        assert!(last.contains("/second") && parses(last), "{last}");
        let written = shared.written.load(Ordering::Relaxed);
        assert_eq!(written, whole.len() as u64 + 1);
        assert_eq!(shared.dropped.load(Ordering::Relaxed) + written, 1001);
    }
}
