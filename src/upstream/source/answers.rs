//! The last good answers of DNS. They outlive reloads.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::upstream::HostName;

/// What DNS is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// The addresses of a name: A and AAAA.
    Host(HostName),
    /// The hosts that offer a service: SRV.
    Service(HostName),
}

/// What DNS has said, and until when it may be believed without asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What it has said.
    pub found: T,
    /// The end of the TTL.
    pub until: Instant,
}

/// The addresses of a name, in their order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub Vec<IpAddr>);

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The lower, the sooner it is to be used.
    pub priority: u16,
    /// Its share of the requests, against the others' of its priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host.
    pub host: HostName,
}

/// The last good answers to the questions of one upstream.
#[derive(Default)]
pub struct Answers(Mutex<All>);

#[derive(Default)]
struct All {
    hosts: HashMap<HostName, Answer<Hosts>>,
    services: HashMap<HostName, Answer<Vec<Service>>>,
}

impl Answers {
    /// The addresses of a name, as far as they are known.
    pub fn hosts(&self, name: &HostName) -> Option<Answer<Hosts>> {
        self.all().hosts.get(name).cloned()
    }

    /// The hosts that offer a service, as far as they are known.
    pub fn services(&self, name: &HostName) -> Option<Answer<Vec<Service>>> {
        self.all().services.get(name).cloned()
    }

    /// Until when the last good answer is good; `None` where there was none.
    pub fn until(&self, question: &Question) -> Option<Instant> {
        let all = self.all();
        match question {
            Question::Host(name) => all.hosts.get(name).map(|answer| answer.until),
            Question::Service(name) => all.services.get(name).map(|answer| answer.until),
        }
    }

    /// Remembers the addresses of a name.
    pub fn put_hosts(&self, name: HostName, answer: Answer<Hosts>) {
        self.all().hosts.insert(name, answer);
    }

    /// Remembers the hosts that offer a service.
    pub fn put_services(&self, name: HostName, answer: Answer<Vec<Service>>) {
        self.all().services.insert(name, answer);
    }

    /// Forgets the answers to all other questions.
    pub fn keep_only(&self, questions: &HashSet<Question>) {
        let mut all = self.all();
        all.hosts
            .retain(|name, _| questions.contains(&Question::Host(name.clone())));
        all.services
            .retain(|name, _| questions.contains(&Question::Service(name.clone())));
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hosts {
    /// The addresses with a port.
    pub fn at(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(move |ip| SocketAddr::new(*ip, port))
    }
}
