//! The process whose place this one is to take, as this one sees it.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::io;
use std::mem::take;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use wiregate_sdk::build::Packed;

use super::elders::{Elder, Elders};
use super::program::MARK;
use super::wire::{Line, Message, PROTOCOL, Received, Socket};
use super::{SERVICE_START, VERSION};
use crate::cache::store::FORMAT;
use crate::compile::{Piece, Purges, Wanted};
use crate::config::model::Bind;
use crate::listen::{Bound, Handed};

/// How long a short message may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does here what another process tells.
type Heeds = Box<dyn Fn(Told) + Send + Sync>;

/// What another process tells of its caches.
pub enum Told {
    /// What it has purged.
    Purged(Purges),
    /// What it has stored.
    Stored(Piece),
}

impl Told {
    /// What was heard, where it is about caches; all else as it was.
    fn of(received: Received) -> Result<Self, Received> {
        match received.message {
            Message::Purged => Ok(Self::Purged(Purges::read(&received.bytes))),
            Message::Stored { cache, anew, most } => Ok(Self::Stored(Piece {
                cache,
                anew,
                most,
                bytes: received.bytes,
            })),
            _ => Err(received),
        }
    }
}

/// The process whose place this one is to take.
pub struct Predecessor {
    line: Line,
    /// What it says once this process gets ready.
    says: Mutex<mpsc::UnboundedReceiver<Received>>,
    ended: watch::Receiver<bool>,
    all_ended: watch::Receiver<bool>,
    /// It and those before it, as far as they lived when this one was told to begin.
    elders: Arc<OnceLock<Elders>>,
    /// Does what it says of its caches.
    heeds: Arc<OnceLock<Heeds>>,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The sockets of its listeners, and of its admin API and its metrics, which have no name.
    sockets: Vec<Handed>,
    packed: Packed,
}

impl Predecessor {
    /// The one that has started this process, where one has.
    ///
    /// # Errors
    /// It speaks otherwise, or has gone.
    pub fn of_process() -> io::Result<Option<Self>> {
        if env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let line = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Self::meet(Line::new(UnixStream::from(line))).map(Some)
    }

    /// Hears out what the one at the other end of the line hands over.
    fn meet(line: Line) -> io::Result<Self> {
        let unexpected = |message: &Message| {
            let message = format!("expected a process to take over from, heard {message:?}");
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let mut this = match line.hear(None)?.message {
            Message::Hello {
                protocol: PROTOCOL,
                version,
                pid,
            } => Self::new(line, version, pid),
            Message::Hello {
                protocol, version, ..
            } => {
                let why = format!(
                    "{VERSION} takes over by protocol {PROTOCOL}, the running {version} by {protocol}: \
                     restart it instead"
                );
                let refused = Message::Refused { why: why.clone() };
                line.say(&refused, Instant::now() + PATIENCE)?;
                return Err(io::Error::other(why));
            }
            other => return Err(unexpected(&other)),
        };
        loop {
            let Received {
                message,
                bytes,
                sockets,
            } = this.line.hear(None)?;
            match message {
                Message::Sockets { sockets: told } => {
                    this.sockets = join(take(&mut this.sockets), told, sockets)?
                }
                Message::Packed { key } => drop(this.packed.insert(key, bytes)),
                Message::Prepare => {
                    this.listen()?;
                    return Ok(this);
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// The sockets of its listeners, and those of its admin API and its metrics.
    pub fn take_sockets(&mut self) -> (Vec<Handed>, Vec<Handed>) {
        let sockets = take(&mut self.sockets).into_iter();
        sockets.partition(|handed| handed.name.is_some())
    }

    /// What it has packed.
    pub fn packed(&self) -> &Packed {
        &self.packed
    }

    /// When the service was started, in seconds since 1970, as far as the other one knows.
    pub fn service_start(&self) -> Option<i64> {
        let packed = self.packed.get(SERVICE_START)?.as_slice();
        packed.try_into().ok().map(i64::from_le_bytes)
    }

    /// From here on, what the other one tells of its caches is done here, by the thread that hears of it.
    pub fn heed(&self, heed: impl Fn(Told) + Send + Sync + 'static) {
        let _ = self.heeds.set(Box::new(heed)); // it is said once
    }

    /// Says that this process could begin, and what its caches take, and waits until it may: returns what the other one
    /// has packed meanwhile.
    ///
    /// # Errors
    /// The other one has gone: then so must this one, since whoever watches it starts a new one.
    pub fn ready(&self, caches: Vec<Wanted>) -> io::Result<Packed> {
        let (version, records) = (VERSION.to_owned(), FORMAT.to_owned());
        self.say(&Message::Ready {
            version,
            records,
            caches,
        })?;
        let mut packed = Packed::new();
        let mut says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(received) = says.blocking_recv() {
            match received.message {
                Message::Packed { key } => drop(packed.insert(key, received.bytes)),
                Message::Begin => return Ok(packed),
                _ => {}
            }
        }
        Err(has_gone())
    }

    /// Says that this process accepts connections.
    ///
    /// # Errors
    /// The other one has gone; this one may go on.
    pub fn begun(&self) -> io::Result<()> {
        self.say(&Message::Begun)
    }

    /// Says that another process has taken this one's place.
    pub fn handed_over(&self) {
        // If it has gone, nobody wants to know.
        let _ = self.say(&Message::HandedOver);
    }

    /// Says that this process will not begin, and why.
    pub fn refuse(&self, why: String) {
        // If it has gone, nobody wants to know.
        let _ = self.say(&Message::Refused { why });
    }

    /// Says when the other one has ended.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Says when the other one, and all before it, have ended.
    pub fn all_ended(&self) -> watch::Receiver<bool> {
        self.all_ended.clone()
    }

    /// The other one and those before it, as far as they live.
    pub fn living(&self) -> Vec<u32> {
        let elders = self.elders.get();
        let living = elders.into_iter().flat_map(Elders::living);
        let mut living: Vec<_> = living.map(|elder| elder.pid).collect();
        // It has not told yet, or is of a version that does not.
        if elders.is_none() && !*self.ended.borrow() {
            living.push(self.pid);
        }
        living
    }

    /// The same, to be handed on: with the line to the other one, to be read by whoever comes next when this one has ended.
    pub(super) fn elders(&self) -> impl Iterator<Item = Elder> {
        let elders = self.elders.get().into_iter().flat_map(Elders::living);
        elders.cloned().map(|mut elder| {
            if elder.pid == self.pid {
                elder.line = self.line.descriptor().ok().map(Arc::new);
            }
            elder
        })
    }

    fn new(line: Line, version: String, pid: u32) -> Self {
        Self {
            line,
            says: Mutex::new(mpsc::unbounded_channel().1),
            ended: watch::channel(false).1,
            all_ended: watch::channel(false).1,
            elders: Arc::default(),
            heeds: Arc::default(),
            version,
            pid,
            sockets: Vec::new(),
            packed: Packed::new(),
        }
    }

    /// From here on, what the other one says, and that it has ended, is noticed as it happens.
    fn listen(&mut self) -> io::Result<()> {
        let line = self.line.share()?;
        let (heard, says) = mpsc::unbounded_channel();
        let (ending, ended) = watch::channel(false);
        let (all_ending, all_ended) = watch::channel(false);
        (self.says, self.ended) = (Mutex::new(says), ended);
        self.all_ended = all_ended;
        let (heeds, elders) = (self.heeds.clone(), self.elders.clone());
        let listen = move || {
            while let Ok(received) = line.hear(None) {
                match (Told::of(received), heeds.get()) {
                    (Ok(told), Some(heeds)) => heeds(told),
                    (Ok(_), None) => {}
                    (Err(received), _) => match received.message {
                        Message::Elders { pids, lines } => {
                            let told = Elders::new(pids, &lines, received.sockets);
                            let _ = elders.set(told); // it is said once
                        }
                        // Nobody may listen any more.
                        _ => drop(heard.send(received)),
                    },
                }
            }
            drop(heard); // whoever waits for a message is told that there is none
            ending.send_replace(true);
            // As a rule they have ended before the other one, which heard of what they purge.
            let heed = |told| {
                if let Some(heeds) = heeds.get() {
                    heeds(told);
                }
            };
            let heard = |received| Told::of(received).into_iter().for_each(heed);
            if let Some(elders) = elders.get() {
                elders.hear_out(heard, || heed(Told::Purged(Purges::all())));
                elders.wait();
            }
            all_ending.send_replace(true);
        };
        let thread = std::thread::Builder::new().name("predecessor".into());
        thread.spawn(listen).map(drop)
    }

    fn say(&self, message: &Message) -> io::Result<()> {
        self.line.say(message, Instant::now() + PATIENCE)
    }
}

/// Why a process that was to take the place of another one does not begin.
pub fn has_gone() -> io::Error {
    io::Error::other("the process whose place this one was to take has gone")
}

/// Puts sockets to those of the same listener.
fn join(
    known: Vec<Handed>,
    told: Vec<Socket>,
    sockets: Vec<std::os::fd::OwnedFd>,
) -> io::Result<Vec<Handed>> {
    if told.len() != sockets.len() {
        let message = format!("expected {} sockets, got {}", told.len(), sockets.len());
        return Err(io::Error::other(message));
    }
    let mut joined: Vec<Handed> = known;
    let mut places: HashMap<(Option<String>, String), usize> = (joined.iter().enumerate())
        .map(|(place, handed)| ((handed.name.clone(), handed.bind.to_string()), place))
        .collect();
    for (told, socket) in told.into_iter().zip(sockets) {
        let Socket {
            listener,
            bind,
            lent,
        } = told;
        let bound = match lent {
            true => Bound::lent(socket)?,
            false => Bound::handed(socket)?,
        };
        let place = places.entry((listener.clone(), bind.clone()));
        let place = *place.or_insert(joined.len());
        if place == joined.len() {
            let bind = Bind::try_from(bind).map_err(io::Error::other)?;
            joined.push(Handed {
                name: listener,
                bind,
                bound: Vec::new(),
            });
        }
        joined[place].bound.push(bound);
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_protocol_is_refused_and_both_sides_learn_it() {
        let (old, new) = UnixStream::pair().unwrap();
        let old = Line::new(old);
        let until = Instant::now() + PATIENCE;
        let hello = Message::Hello {
            protocol: PROTOCOL + 1,
            version: "9.9.9".into(),
            pid: 1,
        };
        old.say(&hello, until).unwrap();
        let error = Predecessor::meet(Line::new(new)).err().unwrap().to_string();
        assert!(error.contains("9.9.9 by 2"), "{error}");
        let told = old.hear(Some(until)).unwrap().message;
        assert_eq!(told, Message::Refused { why: error });
    }

    #[test]
    fn a_line_that_breaks_off_is_an_error() {
        let (old, new) = UnixStream::pair().unwrap();
        drop(old);
        let error = Predecessor::meet(Line::new(new)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
