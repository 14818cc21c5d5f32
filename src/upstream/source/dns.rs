//! Asks DNS, and says until when its answers are good.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::merge::{Family, merge};
use super::sockets::Sockets;
use super::{Answer, Hosts, MOST_ENDPOINTS, Service};
use crate::config::model::dns as model;
use crate::descriptors;
use crate::upstream::HostName;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name does not exist, or has no records of that kind.
    Empty,
    /// No server has answered in time.
    Timeout,
    /// Anything else, in words.
    Error(String),
}

impl Failure {
    /// One word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Timeout => "timeout",
            Self::Error(_) => "error",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no such records"),
            Self::Timeout => f.write_str("no server has answered in time"),
            Self::Error(why) => f.write_str(why),
        }
    }
}

/// The servers to ask, and how.
pub struct Dns {
    config: model::Dns,
    /// Made with the first question.
    resolver: Mutex<Option<Resolver<Sockets>>>,
}

impl Dns {
    /// As the configuration says.
    pub fn new(config: model::Dns) -> Self {
        Self {
            config,
            resolver: Mutex::default(),
        }
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.config.timeout.into()
    }

    /// The time before a question that has failed so often in a row is asked again.
    pub fn pause(&self, failures: u32) -> Duration {
        const LONGEST: Duration = Duration::from_secs(30);
        let shortest: Duration = self.config.min_ttl.into();
        let doubled = shortest.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(LONGEST).max(shortest)
    }

    /// The IPv4 and IPv6 addresses of a name. Where only one kind can be found out, the others
    /// are those that it had `last`.
    ///
    /// # Errors
    /// Where there are none.
    pub async fn hosts(
        &self,
        name: &HostName,
        last: Option<&Hosts>,
    ) -> Result<Answer<Hosts>, Failure> {
        use model::AddressFamily::{Auto, Ipv4, Ipv6};
        let family = self.config.family;
        let ask = async |kind, not| match family == not {
            true => Family::Nothing,
            false => self.family(name, kind).await,
        };
        let (v4, v6) = tokio::join!(ask(RecordType::A, Ipv6), ask(RecordType::AAAA, Ipv4));
        let mut answer = merge([v4, v6], last, Instant::now())?;
        if family == Auto {
            leave_unreachable_out(&mut answer.found.0);
        }
        answer.until = self.clamp(answer.until);
        Ok(answer)
    }

    /// The hosts that offer a service, by priority.
    ///
    /// # Errors
    /// Where there are none.
    pub async fn services(&self, name: &HostName) -> Result<Answer<Vec<Service>>, Failure> {
        let lookup = self.look_up(name, RecordType::SRV).await?;
        let records = (lookup.answers().iter()).filter_map(|record| match &record.data {
            // A single dot says that the service is not offered here.
            RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: srv.target.to_string().parse().ok()?,
            }),
            _ => None,
        });
        let mut found: Vec<_> = records.take(MOST_ENDPOINTS).collect();
        if found.is_empty() {
            return Err(Failure::Empty);
        }
        found.sort_unstable();
        let until = self.clamp(lookup.valid_until());
        Ok(Answer { found, until })
    }

    async fn family(&self, name: &HostName, kind: RecordType) -> Family {
        let lookup = match self.look_up(name, kind).await {
            Ok(lookup) => lookup,
            Err(Failure::Empty) => return Family::Nothing,
            Err(failure) => return Family::Failed(failure),
        };
        // Records of a CNAME come along.
        let addresses = (lookup.answers().iter()).filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        let addresses: Vec<_> = addresses.take(MOST_ENDPOINTS).collect();
        if addresses.is_empty() {
            return Family::Nothing;
        }
        Family::Found(addresses, lookup.valid_until())
    }

    async fn look_up(&self, name: &HostName, kind: RecordType) -> Result<Lookup, Failure> {
        let resolver = self.resolver().map_err(failure)?;
        // An answer is asked for when it is no longer good; a copy of it is of no use.
        resolver.clear_cache();
        let lookup = resolver.lookup(name.as_str(), kind);
        match tokio::time::timeout(self.timeout(), lookup).await {
            Ok(outcome) => outcome.map_err(failure),
            Err(_) => Err(Failure::Timeout),
        }
    }

    fn resolver(&self) -> Result<Resolver<Sockets>, NetError> {
        let mut resolver = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = &*resolver {
            return Ok(resolver.clone());
        }
        let made = self.make()?;
        Ok(resolver.insert(made).clone())
    }

    fn make(&self) -> Result<Resolver<Sockets>, NetError> {
        let mut builder = if self.config.servers.is_empty() {
            Resolver::builder(Sockets::default())?
        } else {
            let servers = (self.config.servers.iter()).map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            Resolver::builder_with_config(config, Sockets::default())
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        // Two tries, both within the time for the whole.
        options.attempts = 1;
        options.timeout = self.timeout() * 2 / 5;
        options.cache_size = 1;
        builder.build()
    }

    fn clamp(&self, until: Instant) -> Instant {
        let now = Instant::now();
        let shortest: Duration = self.config.min_ttl.into();
        let longest: Duration = self.config.max_ttl.into();
        until.clamp(now + shortest, now + longest)
    }
}

/// Leaves out what the machine has no route to, unless that is all: where there is no IPv6, every
/// second attempt at a name with both would fail. No packet is sent.
fn leave_unreachable_out(addresses: &mut Vec<IpAddr>) {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let sockets = any.map(|own| UdpSocket::bind((own, 0)));
    let lacks = |socket: &io::Result<UdpSocket>| matches!(socket, Err(error) if descriptors::is_lack(error));
    if sockets.iter().any(lacks) {
        return; // it cannot be told
    }
    let has_route = |to: &IpAddr| {
        let socket = &sockets[usize::from(to.is_ipv6())];
        (socket.as_ref()).is_ok_and(|socket| socket.connect((*to, 9)).is_ok())
    };
    let reachable: Vec<_> = addresses.iter().copied().filter(has_route).collect();
    if !reachable.is_empty() {
        *addresses = reachable;
    }
}

fn failure(error: NetError) -> Failure {
    match error {
        NetError::Timeout => Failure::Timeout,
        error if error.is_no_records_found() => Failure::Empty,
        error => Failure::Error(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::types::Period;

    use super::*;

    fn dns(min: &str, max: &str) -> Dns {
        Dns::new(model::Dns {
            min_ttl: min.parse::<Period>().unwrap(),
            max_ttl: max.parse::<Period>().unwrap(),
            ..model::Dns::default()
        })
    }

    #[test]
    fn waits_longer_after_each_failure_up_to_half_a_minute() {
        let pauses: Vec<u64> = (1..=5)
            .map(|n| dns("5s", "5m").pause(n).as_secs())
            .collect();
        assert_eq!(pauses, [5, 10, 20, 30, 30]);
        assert_eq!(dns("1s", "5m").pause(u32::MAX).as_secs(), 30);
        assert_eq!(dns("1m", "5m").pause(1).as_secs(), 60);
    }

    #[test]
    fn a_ttl_has_bounds() {
        let dns = dns("5s", "1m");
        let now = Instant::now();
        assert!(dns.clamp(now) >= now + Duration::from_secs(5));
        assert!(dns.clamp(now + Duration::from_secs(9)) == now + Duration::from_secs(9));
        let end = dns.clamp(now + Duration::from_secs(900));
        assert!(end < now + Duration::from_secs(70));
    }
}
