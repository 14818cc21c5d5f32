//! The process that is to take this one's place, as this one sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wiregate_sdk::build::Packed;

use super::VERSION;
use super::elders::Elder;
use super::program::Program;
use super::purges::{self, Forwarding, PATIENCE};
use super::wire::{Line, MOST_SOCKETS, Message, PROTOCOL, Socket};
use crate::cache::store::FORMAT;
use crate::compile::{Passing, Piece, Purges, Said, Snapshot, Wanted};
use crate::listen::Handed;

/// How long a process that has broken off the line may take to end.
const END: Duration = Duration::from_secs(2);

/// The process that is to take this one's place. Dropped before it has, it is killed.
pub struct Successor {
    child: Child,
    line: Line,
    /// Its version, once it has told.
    version: String,
    /// What its caches take of those of this process.
    wanted: Vec<Wanted>,
    settled: bool,
    /// Tells it what is purged here, once it has taken over.
    forwarding: Option<Forwarding>,
}

impl Successor {
    /// Starts the program anew.
    pub(super) fn start(program: &Program) -> Result<Self, String> {
        let start = || {
            let (ours, theirs) = UnixStream::pair()?;
            let child = program.again(OwnedFd::from(theirs).into()).spawn()?;
            io::Result::Ok((child, ours))
        };
        let (child, ours) = start()
            .map_err(|error| format!("cannot start {}: {error}", program.path().display()))?;
        Ok(Self {
            child,
            line: Line::new(ours),
            version: String::new(),
            wanted: Vec::new(),
            settled: false,
            forwarding: None,
        })
    }

    /// The line to it once more, to give it up while somebody waits for it.
    pub(super) fn line(&self) -> io::Result<Line> {
        self.line.share()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives it what it needs, and waits until it is ready.
    pub(super) fn prepare(
        &mut self,
        sockets: &[Handed],
        packed: &Packed,
        until: Instant,
    ) -> Result<(), String> {
        let told = self.tell_all(sockets, packed, until);
        // It may have refused before it has heard everything, and tells why.
        let answer = told.and_then(|()| self.line.hear(Some(until)));
        let answer = match answer {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.line.hear(Some(until)),
            answer => answer,
        };
        match answer.map(|received| received.message) {
            Ok(Message::Ready {
                version,
                records,
                caches,
            }) => {
                self.version = version;
                self.wanted = understood(&records, caches);
                Ok(())
            }
            Ok(Message::Refused { why }) => Err(why),
            Ok(_) => Err("the new process does not keep to the protocol".to_owned()),
            Err(error) => Err(self.why(&error, "was not ready in time")),
        }
    }

    fn tell_all(&self, sockets: &[Handed], packed: &Packed, until: Instant) -> io::Result<()> {
        let hello = Message::Hello {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            pid: std::process::id(),
        };
        self.line.say(&hello, until)?;
        let all: Vec<_> = (sockets.iter())
            .flat_map(|handed| handed.bound.iter().map(move |bound| (handed, bound)))
            .collect();
        for some in all.chunks(MOST_SOCKETS) {
            let told = some.iter().map(|(handed, bound)| Socket {
                listener: handed.name.clone(),
                bind: handed.bind.to_string(),
                lent: bound.is_lent(),
            });
            let sockets = told.collect();
            let descriptors: Vec<_> = some.iter().map(|(_, bound)| bound.as_fd()).collect();
            let message = Message::Sockets { sockets };
            self.line.say_with(&message, b"", &descriptors, until)?;
        }
        self.pass_on(packed, until)?;
        self.line.say(&Message::Prepare, until)
    }

    /// Tells it of this process and those before it. Not earlier than needed: as long as it has their lines, they do not see
    /// that this process has ended.
    fn tell_elders(&self, elders: &[Elder], until: Instant) -> io::Result<()> {
        // There are no more of them but where somebody upgrades without an end.
        let elders = &elders[elders.len().saturating_sub(MOST_SOCKETS / 2)..];
        let message = Message::Elders {
            pids: elders.iter().map(|elder| elder.pid).collect(),
            lines: elders.iter().map(|elder| elder.line.is_some()).collect(),
        };
        let descriptors = elders
            .iter()
            .flat_map(|elder| [Some(&elder.life), elder.line.as_ref()]);
        let descriptors: Vec<_> = descriptors.flatten().map(|each| each.as_fd()).collect();
        self.line.say_with(&message, b"", &descriptors, until)
    }

    fn pass_on(&self, packed: &Packed, until: Instant) -> io::Result<()> {
        for (key, bytes) in packed {
            let message = Message::Packed { key: key.clone() };
            self.line.say_with(&message, bytes, &[], until)?;
        }
        Ok(())
    }

    /// What its caches take of those of this process.
    pub(super) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// Tells it what is stored here, as far as that was found, until then.
    pub(super) fn stored(
        &mut self,
        passing: &mut Passing<'_>,
        until: Instant,
    ) -> Result<(), String> {
        let told = say_stored(&self.line, passing, until);
        told.map_err(|error| self.why(&error, "does not take what caches have"))
    }

    /// Tells it what was purged since that was last told.
    pub(super) fn purged(
        &mut self,
        mut purges: impl Iterator<Item = Purges>,
        until: Instant,
    ) -> Result<(), String> {
        let told = purges.try_for_each(|purges| purges::say(&self.line, &purges, until));
        told.map_err(|error| self.why(&error, "did not begin in time"))
    }

    /// From here on it is told what is purged in these caches; at the latest when that is asked for at the end.
    pub(super) fn forward(&mut self, live: Arc<Snapshot>) {
        match self.line.share() {
            Ok(line) => self.forwarding = Some(Forwarding::start(line, live)),
            Err(error) => {
                tracing::warn!(%error, "the new process does not hear of what is purged here")
            }
        }
    }

    /// Who tells it what is purged here.
    pub fn forwarding(&self) -> Option<Forwarding> {
        self.forwarding.clone()
    }

    /// Lets it begin, with what is known by now, and waits until it accepts connections.
    pub(super) fn begin(
        &mut self,
        packed: &Packed,
        elders: &[Elder],
        until: Instant,
    ) -> Result<(), String> {
        let begun = self.pass_on(packed, until);
        let begun = begun.and_then(|()| self.tell_elders(elders, until));
        let begun = begun.and_then(|()| self.line.say(&Message::Begin, until));
        let begun = begun.and_then(|()| self.line.hear(Some(until)));
        match begun.map(|received| received.message) {
            Ok(Message::Begun) => {
                self.settled = true;
                Ok(())
            }
            Ok(Message::Refused { why }) => Err(why),
            Ok(_) => Err("the new process does not keep to the protocol".to_owned()),
            Err(error) => Err(self.why(&error, "did not begin in time")),
        }
    }

    /// Why nothing came of it.
    fn why(&mut self, error: &io::Error, late: &str) -> String {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                format!("the new process {late}")
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => match self.ended() {
                Some(status) => format!("the new process has ended: {}", of(status)),
                None => "the new process was given up".to_owned(),
            },
            _ => format!("the new process cannot be talked to: {error}"),
        }
    }

    /// How it has ended, or does in a moment.
    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + END;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Asks it to end, as this process was asked.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It is a child that nobody has waited for: its number cannot be another's by now.
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!(%error, "the new process cannot be asked to end");
        }
    }

    /// Waits until it has ended, and says how; `None` once another process has taken its place: how it
    /// ends then is nothing to this one. The line to it is open as long as this process lives.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        while let Ok(received) = self.line.hear(None) {
            if received.message == Message::HandedOver {
                tracing::info!(
                    pid = self.pid(),
                    "the process that has taken over has handed over as well"
                );
                return Ok(None);
            }
        }
        self.child.wait().map(Some)
    }

    /// Waits until it is gone for good.
    pub fn bury(mut self) {
        let _ = self.child.wait(); // how it ended is nothing to anybody
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.settled {
            // It may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What was begun has a time of its own: that there is none left for what is stored is no reason to give all up.
fn say_stored(line: &Line, passing: &mut Passing<'_>, until: Instant) -> io::Result<()> {
    passing.pass(until, |said| {
        let late = Instant::now() + PATIENCE;
        match said {
            Said::Stored(piece) => {
                let Piece {
                    cache,
                    anew,
                    most,
                    bytes,
                } = piece;
                let message = Message::Stored { cache, anew, most };
                line.say_with(&message, bytes, &[], late)
            }
            Said::Purged(purges) => purges::say(line, &purges, late),
        }
    })
}

/// What a process takes that reads this version of records.
fn understood(records: &str, caches: Vec<Wanted>) -> Vec<Wanted> {
    if records == FORMAT {
        return caches;
    }
    tracing::warn!(
        ours = FORMAT,
        theirs = records,
        "the new process does not read what caches have in memory: without a disk they begin empty"
    );
    Vec::new()
}

/// How a process has ended.
fn of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::slice;
    use std::thread;

    use wiregate_sdk::Clock;

    use super::*;
    use crate::compile::store_tests::{named, put_body};

    #[test]
    fn that_there_is_no_time_left_for_what_is_stored_is_no_reason_to_give_up() {
        let store = named("pages", None);
        store.open(&Clock::default()).unwrap();
        for number in 0..30 {
            let url = format!("http://a/{number}");
            put_body(&store.store(), &url, &vec![b'x'; 100_000]);
        }
        let wanted = Wanted {
            cache: "pages".to_owned(),
            memory: 64 << 20,
            largest: 1 << 20,
        };
        let stores = slice::from_ref(&store);
        let mut passing = Passing::of(stores, slice::from_ref(&wanted), None);
        passing.find(Instant::now() + PATIENCE);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let until = Instant::now() + Duration::from_millis(500);
        // It takes nothing before that.
        let reader = thread::spawn(move || {
            thread::sleep(until.saturating_duration_since(Instant::now()) * 2);
            let line = Line::new(theirs);
            std::iter::from_fn(|| line.hear(None).ok()).count()
        });
        let line = Line::new(ours);
        say_stored(&line, &mut passing, until).unwrap();
        drop(line);
        let heard = reader.join().unwrap();
        assert!((1..3).contains(&heard), "not all of three: {heard}");
    }
}
