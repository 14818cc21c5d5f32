//! The thread behind the queue: takes entries in batches, formats and writes them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Entry, Shared};

/// How many bytes are collected before a write.
const BATCH: usize = 256 << 10;
/// How long new entries may gather after a batch. While there is traffic the writer sleeps rather
/// than waits to be woken, so that workers are spared the system call.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Writer {
    file: File,
    entries: Receiver<Entry>,
    shared: Arc<Shared>,
    batch: Vec<u8>,
    /// The last write stopped within a line.
    torn: bool,
    failing: bool,
}

impl Writer {
    pub(super) fn new(file: File, entries: Receiver<Entry>, shared: Arc<Shared>) -> Self {
        Self {
            file,
            entries,
            shared,
            batch: Vec::new(),
            torn: false,
            failing: false,
        }
    }

    /// Writes until the log is closed and everything queued before is out.
    pub(super) fn run(mut self) {
        loop {
            // Read before the queue is: what was pushed before the close is then seen.
            let closing = self.shared.closing.load(Ordering::SeqCst);
            match (self.drain(), closing) {
                (true, false) => std::thread::sleep(PAUSE),
                (true, true) => {}
                (false, false) => self.park(),
                (false, true) => return,
            }
        }
    }

    /// Writes what is queued; false if there was nothing.
    fn drain(&mut self) -> bool {
        let mut found = false;
        self.switch();
        while let Ok(entry) = self.entries.try_recv() {
            found = true;
            self.add(&entry);
            if self.batch.len() >= BATCH {
                self.flush();
                self.switch();
            }
        }
        self.flush();
        found
    }

    /// Sleeps until there is something to do.
    fn park(&mut self) {
        self.shared.parked.store(true, Ordering::Relaxed);
        // Pairs with the fence in `AccessLog::write`.
        fence(Ordering::SeqCst);
        let closing = self.shared.closing.load(Ordering::SeqCst);
        let idle = !closing && !self.drain();
        if idle {
            // Returns at once if somebody has woken this thread since.
            std::thread::park();
        }
        self.shared.parked.store(false, Ordering::Relaxed);
    }

    /// Continues with the file that a reopening left here.
    fn switch(&mut self) {
        if let Some(file) = self.shared.next().take() {
            self.file = file;
            self.torn = false;
        }
    }

    fn add(&mut self, entry: &Entry) {
        if self.batch.is_empty() && self.torn {
            self.batch.push(b'\n');
        }
        serde_json::to_writer(&mut self.batch, entry)
            .expect("an entry has no map, and memory takes every byte");
        self.batch.push(b'\n');
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let (sent, result) = self.send();
        // The line break that ends a torn line stands for no entry.
        let repair = u64::from(self.torn);
        let lines = line_breaks(&self.batch) - repair;
        let written = line_breaks(&self.batch[..sent]).saturating_sub(repair);
        self.shared.written.fetch_add(written, Ordering::Relaxed);
        self.shared
            .dropped
            .fetch_add(lines - written, Ordering::Relaxed);
        if let Some(last) = self.batch[..sent].last() {
            self.torn = *last != b'\n';
        }
        self.report(result);
        self.batch.clear();
    }

    /// Sends the batch: how many bytes got through, and what stopped the rest.
    fn send(&mut self) -> (usize, io::Result<()>) {
        let mut sent = 0;
        while sent < self.batch.len() {
            match self.file.write(&self.batch[sent..]) {
                Ok(0) => return (sent, Err(ErrorKind::WriteZero.into())),
                Ok(some) => sent += some,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe that somebody else made non-blocking.
                Err(error) if self.waits(&error) => std::thread::sleep(PAUSE),
                Err(error) => return (sent, Err(error)),
            }
        }
        (sent, Ok(()))
    }

    fn waits(&self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::WouldBlock && !self.shared.closing.load(Ordering::Relaxed)
    }

    /// Says once that writing fails, and once that it works again.
    fn report(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !self.failing => {
                tracing::error!(%error, "the access log cannot be written, entries are dropped");
                self.failing = true;
            }
            Ok(()) if self.failing => {
                let dropped = self.shared.dropped.load(Ordering::Relaxed);
                tracing::info!(dropped, "the access log is written again");
                self.failing = false;
            }
            _ => {}
        }
    }
}

fn line_breaks(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::mpsc::sync_channel;

    use super::super::tests::entry;
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
        let mut writer = Writer::new(pipe.open(&path).unwrap(), entries, Arc::clone(&shared));

        // More than the pipe holds, so that the last line that fits is cut.
        for _ in 0..1000 {
            writer.add(&entry("/first"));
        }
        writer.flush();
        let mut buffer = vec![0; 1 << 20];
        let got = reader.read(&mut buffer).unwrap();
        writer.add(&entry("/second"));
        writer.flush();
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
