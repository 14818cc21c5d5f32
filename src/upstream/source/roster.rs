//! The endpoints that an upstream has, out of all that is known of its sources.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Answers, EndpointFile, MOST_ENDPOINTS, MOST_WEIGHT, Question, Service};
use crate::upstream::{Address, Endpoint, HostName, Reach, Site, States, Target};

/// One source of endpoints.
pub enum Source {
    /// What the configuration lists.
    Listed(Listed),
    /// SRV records of this name; their priorities count from this rank's.
    Service(HostName, Rank),
    /// A file that lists them.
    File(Arc<EndpointFile>),
}

/// An address or a name, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is called.
    pub target: Target,
    /// Its share of the requests, against the others'.
    pub weight: u32,
    /// Which others it comes before.
    pub rank: Rank,
}

/// What decides whether an endpoint comes before others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// Its group; the lowest comes first.
    pub priority: u8,
    /// Where it is.
    pub zone: Option<Arc<str>>,
}

/// An endpoint that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    address: Address,
    weight: u32,
    /// The name that led to it.
    name: Option<HostName>,
    rank: Rank,
}

/// The sources of an upstream, with all that its endpoints are made from.
pub struct Roster {
    /// The sources, in the order of the configuration.
    pub sources: Vec<Source>,
    /// How the endpoints are reached.
    pub reach: Reach,
    /// The zone that the gateway is in.
    pub here: Option<Arc<str>>,
    /// The states that the endpoints had.
    pub states: Arc<States>,
    /// What DNS has said.
    pub answers: Arc<Answers>,
}

impl Roster {
    /// The files among the sources.
    pub fn files(&self) -> impl Iterator<Item = &Arc<EndpointFile>> {
        self.sources.iter().filter_map(|source| match source {
            Source::File(file) => Some(file),
            Source::Listed(_) | Source::Service(..) => None,
        })
    }

    /// Whether it may ever have other endpoints than now.
    pub fn is_fixed(&self) -> bool {
        let fixed = |source: &Source| matches!(source, Source::Listed(listed) if matches!(listed.target, Target::Address(_)));
        self.sources.iter().all(fixed)
    }

    /// What DNS has to be asked.
    pub fn questions(&self) -> HashSet<Question> {
        let mut questions = HashSet::new();
        let mut host = |listed: &Listed| {
            if let Target::Name(name, _) = &listed.target {
                questions.insert(Question::Host(name.clone()));
            }
        };
        let mut services = Vec::new();
        for source in &self.sources {
            match source {
                Source::Listed(listed) => host(listed),
                Source::File(file) => file.listed().iter().for_each(&mut host),
                Source::Service(name, _) => services.push(name.clone()),
            }
        }
        for name in services {
            let records = self.answers.services(&name);
            let hosts = records.into_iter().flat_map(|records| records.found);
            questions.extend(hosts.map(|service| Question::Host(service.host)));
            questions.insert(Question::Service(name));
        }
        questions
    }

    /// The endpoints that there are now, and how many are left out because there are too many.
    /// Those of `present` that stay are the same ones.
    pub fn endpoints(&self, present: &[Arc<Endpoint>]) -> (Vec<Arc<Endpoint>>, usize) {
        let present: HashMap<&Address, &Arc<Endpoint>> =
            present.iter().map(|one| (&one.address, one)).collect();
        let mut found = self.found();
        let beyond = found.len().saturating_sub(MOST_ENDPOINTS);
        found.truncate(MOST_ENDPOINTS);
        let endpoint = |found: Found| {
            let site = self.site(found.rank);
            let same = |one: &&&Arc<Endpoint>| {
                let name = self.reach.server_name(&found.address, found.name.as_ref());
                one.weight == found.weight
                    && one.site == site
                    && name.is_ok_and(|name| name == one.peer.sni)
            };
            if let Some(one) = present.get(&found.address).filter(same) {
                return Some(Arc::clone(one));
            }
            // What is listed was checked, and a name makes no difference to that.
            let peer = self.reach.peer(&found.address, found.name.as_ref()).ok()?;
            let state = self.states.of(&found.address);
            let endpoint = Endpoint::new(found.address, found.weight, peer, state);
            Some(Arc::new(endpoint.placed(site)))
        };
        (found.into_iter().filter_map(endpoint).collect(), beyond)
    }

    fn site(&self, rank: Rank) -> Site {
        Site {
            priority: rank.priority,
            near: rank.zone.is_some() && rank.zone == self.here,
            zone: rank.zone,
        }
    }

    /// Each address once: the first one that leads there counts.
    fn found(&self) -> Vec<Found> {
        let mut all = Vec::new();
        for source in &self.sources {
            match source {
                Source::Listed(listed) => self.resolve(listed, &mut all),
                Source::File(file) => {
                    for listed in file.listed().iter() {
                        self.resolve(listed, &mut all);
                    }
                }
                Source::Service(name, rank) => self.offers(name, rank, &mut all),
            }
        }
        let mut seen = HashSet::new();
        all.retain(|found| seen.insert(found.address.clone()));
        all
    }

    fn resolve(&self, listed: &Listed, all: &mut Vec<Found>) {
        let (weight, rank) = (listed.weight, &listed.rank);
        match &listed.target {
            Target::Address(address) => all.push(Found {
                address: address.clone(),
                weight,
                name: None,
                rank: rank.clone(),
            }),
            Target::Name(host, port) => {
                let hosts = self.answers.hosts(host);
                all.extend(hosts.iter().flat_map(|hosts| {
                    hosts.found.at(*port).map(|address| Found {
                        address: address.into(),
                        weight,
                        name: Some(host.clone()),
                        rank: rank.clone(),
                    })
                }));
            }
        }
    }

    /// The hosts of all records. Their priorities become those that follow `base`.
    fn offers(&self, name: &HostName, base: &Rank, all: &mut Vec<Found>) {
        let records = self.answers.services(name);
        let records = records.map_or_else(Vec::new, |records| records.found);
        let mut priorities: BTreeMap<u16, Vec<Service>> = BTreeMap::new();
        for record in records {
            priorities.entry(record.priority).or_default().push(record);
        }
        for (step, records) in priorities.into_values().enumerate() {
            let step = u8::try_from(step).unwrap_or(u8::MAX); // what is beyond is last together
            let rank = Rank {
                priority: base.priority.saturating_add(step),
                zone: base.zone.clone(),
            };
            let heaviest = records.iter().map(|record| record.weight).max();
            for record in records {
                let hosts = self.answers.hosts(&record.host);
                let weight = share(record.weight, heaviest.unwrap_or(0));
                all.extend(hosts.iter().flat_map(|hosts| {
                    hosts.found.at(record.port).map(|address| Found {
                        address: address.into(),
                        weight,
                        name: Some(name.clone()),
                        rank: rank.clone(),
                    })
                }));
            }
        }
    }
}

/// The weight of a record against the heaviest one, from 1 to 100. RFC 2782 wants one of weight 0
/// to be chosen hardly ever, and all alike where all are 0.
fn share(weight: u16, heaviest: u16) -> u32 {
    if heaviest == 0 {
        return 1;
    }
    let (weight, heaviest) = (u32::from(weight), u32::from(heaviest));
    if heaviest <= MOST_WEIGHT {
        return weight.max(1);
    }
    (weight * MOST_WEIGHT).div_ceil(heaviest).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use wiregate_sdk::value::{decode, read};

    use super::*;
    use crate::upstream::source::{Answer, Hosts};

    fn roster(sources: Vec<Source>) -> Roster {
        let value = read(&"test.yaml".into(), "endpoints: []\n").unwrap();
        let config = decode(&value).unwrap();
        Roster {
            sources,
            reach: Reach::new("app", &config, None),
            here: None,
            states: Arc::default(),
            answers: Arc::default(),
        }
    }

    fn listed(target: &str, weight: u32) -> Source {
        let target = target.parse().unwrap();
        Source::Listed(Listed {
            target,
            weight,
            rank: Rank::default(),
        })
    }

    fn host(roster: &Roster, name: &str, addresses: &[&str]) {
        let found = Hosts(addresses.iter().map(|a| a.parse().unwrap()).collect());
        let until = Instant::now();
        let answer = Answer { found, until };
        roster.answers.put_hosts(name.parse().unwrap(), answer);
    }

    fn shown(endpoints: &[Arc<Endpoint>]) -> Vec<String> {
        let show = |one: &Arc<Endpoint>| format!("{}*{}", one.label, one.weight);
        endpoints.iter().map(show).collect()
    }

    #[test]
    fn a_name_stands_for_each_of_its_addresses_once() {
        let sources = vec![listed("10.0.0.1:80", 2), listed("app:80", 3)];
        let roster = roster(sources);
        assert_eq!(shown(&roster.endpoints(&[]).0), ["10.0.0.1:80*2"]);
        host(&roster, "app", &["10.0.0.1", "10.0.0.2", "::1"]);
        let (endpoints, _) = roster.endpoints(&[]);
        let expected = ["10.0.0.1:80*2", "10.0.0.2:80*3", "[::1]:80*3"];
        assert_eq!(shown(&endpoints), expected);
        let (again, _) = roster.endpoints(&endpoints);
        assert!(again.iter().zip(&endpoints).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert!(!roster.is_fixed());
    }

    #[test]
    fn services_are_used_by_priority_and_weight() {
        let name: HostName = "_http._tcp.app".parse().unwrap();
        let roster = roster(vec![Source::Service(name.clone(), Rank::default())]);
        let service = |priority, weight, port, host: &str| Service {
            priority,
            weight,
            port,
            host: host.parse().unwrap(),
        };
        let found = vec![
            service(1, 1000, 81, "a"),
            service(1, 500, 82, "b"),
            service(1, 0, 83, "b"),
            service(2, 9, 84, "c"),
        ];
        let until = Instant::now();
        roster.answers.put_services(name, Answer { found, until });
        assert_eq!(roster.questions().len(), 4);
        host(&roster, "c", &["10.0.0.3"]);
        assert_eq!(shown(&roster.endpoints(&[]).0), ["10.0.0.3:84*9"]);
        host(&roster, "a", &["10.0.0.1"]);
        host(&roster, "b", &["10.0.0.2"]);
        let (endpoints, _) = roster.endpoints(&[]);
        let expected = [
            "10.0.0.1:81*100",
            "10.0.0.2:82*50",
            "10.0.0.2:83*1",
            "10.0.0.3:84*9",
        ];
        assert_eq!(shown(&endpoints), expected);
        let priorities: Vec<u8> = endpoints.iter().map(|one| one.site.priority).collect();
        assert_eq!(priorities, [0, 0, 0, 1]);
    }

    #[test]
    fn however_many_priorities_there_are_the_last_ones_stay_last() {
        let name: HostName = "_http._tcp.app".parse().unwrap();
        let roster = roster(vec![Source::Service(name.clone(), Rank::default())]);
        let service = |priority: u16| Service {
            priority,
            weight: 1,
            port: 1000 + priority,
            host: "a".parse().unwrap(),
        };
        let (found, until) = ((0..300).map(service).collect(), Instant::now());
        roster.answers.put_services(name, Answer { found, until });
        host(&roster, "a", &["10.0.0.1"]);
        let (endpoints, _) = roster.endpoints(&[]);
        let priorities: Vec<u8> = endpoints.iter().map(|one| one.site.priority).collect();
        let expected: Vec<u8> = (0..=255).chain(std::iter::repeat_n(255, 44)).collect();
        assert_eq!(priorities, expected);
    }

    #[test]
    fn too_many_are_cut_off_and_counted() {
        let roster = roster(vec![listed("app:80", 1)]);
        let addresses: Vec<_> = (0..600u32)
            .map(|i| std::net::Ipv4Addr::from(0x0a00_0000 + i).to_string())
            .collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        host(&roster, "app", &addresses);
        let (endpoints, beyond) = roster.endpoints(&[]);
        assert_eq!((endpoints.len(), beyond), (500, 100));
    }
}
