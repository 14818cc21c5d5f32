//! The last good answers of DNS. They outlive reloads.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::upstream::HostName;

/// How long an answer that nobody asks for any more is kept when its TTL is over: the next version
/// of the configuration may have asked, which is not live yet.
const GRACE: Duration = Duration::from_secs(60);

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

    /// Forgets what is old, but for the answers to these questions.
    pub fn forget_all_but(&self, questions: &HashSet<Question>, now: Instant) {
        let mut all = self.all();
        let old = |until: Instant| until + GRACE < now;
        all.hosts.retain(|name, answer| {
            !old(answer.until) || questions.contains(&Question::Host(name.clone()))
        });
        all.services.retain(|name, answer| {
            !old(answer.until) || questions.contains(&Question::Service(name.clone()))
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_configuration_has_asked_is_not_forgotten() {
        let (answers, until) = (Answers::default(), Instant::now());
        let name: HostName = "app.internal".parse().unwrap();
        let found = Hosts(vec!["10.0.0.1".parse().unwrap()]);
        answers.put_hosts(name.clone(), Answer { found, until });
        let later = until + GRACE + Duration::from_secs(1);
        let asked = HashSet::from([Question::Host(name.clone())]);
        for (questions, now, there) in [
            (HashSet::new(), until, true),
            (asked, later, true),
            (HashSet::new(), later, false),
        ] {
            answers.forget_all_but(&questions, now);
            assert_eq!(answers.hosts(&name).is_some(), there);
        }
    }
}
