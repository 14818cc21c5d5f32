//! How many connections a listener has, in all and of each client.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

use super::Seldom;
use crate::overload::is_nearly;

/// Clients are counted in this many maps, so that workers seldom wait for each other.
const SHARDS: usize = 16;
/// The part of an IPv6 address that tells one client from another.
const NETWORK: u128 = !0 << 64;

/// The open connections of a listener, over all workers.
#[derive(Debug, Default)]
pub struct Caps {
    open: AtomicUsize,
    /// That accepting pauses.
    pub(super) trouble: Seldom,
    clients: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: foldhash::fast::RandomState,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    caps: Arc<Caps>,
    client: Option<IpAddr>,
    gauge: IntGauge,
}

impl Caps {
    /// A place for one more connection, where fewer than this many are open.
    pub fn take(self: &Arc<Self>, most: usize, gauge: &IntGauge) -> Option<Slot> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        gauge.inc();
        // Where it is one too many, it gives its place back as any other.
        let slot = Slot {
            caps: self.clone(),
            client: None,
            gauge: gauge.clone(),
        };
        (before < most).then_some(slot)
    }

    /// Whether few of its places are left.
    pub fn is_nearly_full(&self, most: usize) -> bool {
        is_nearly(self.open.load(Ordering::Relaxed), most)
    }

    fn shard(&self, client: &IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let hash = usize::try_from(self.hasher.hash_one(client) % SHARDS as u64);
        let shard = &self.clients[hash.unwrap_or(0)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Counts the connection for its client, where that has fewer than this many; says whether.
    pub fn belongs_to(&mut self, address: IpAddr, most: u32) -> bool {
        let client = client(address);
        let mut clients = self.caps.shard(&client);
        let count = clients.entry(client).or_insert(0);
        if *count >= most {
            return false;
        }
        *count += 1;
        drop(clients);
        self.client = Some(client);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
        let Some(client) = &self.client else {
            return;
        };
        let mut clients = self.caps.shard(client);
        if let Some(count) = clients.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(client);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is the least
/// that a site has.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> IntGauge {
        IntGauge::new("open", "open").unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let (caps, gauge) = (Arc::new(Caps::default()), gauge());
        let first = caps.take(2, &gauge).unwrap();
        let _second = caps.take(2, &gauge).unwrap();
        assert!(caps.take(2, &gauge).is_none());
        assert_eq!((caps.open.load(Ordering::Relaxed), gauge.get()), (2, 2));
        drop(first);
        assert!(caps.take(2, &gauge).is_some());
        assert_eq!((caps.open.load(Ordering::Relaxed), gauge.get()), (1, 1));
    }

    #[test]
    fn clients_are_counted_apart_and_leave_nothing_behind() {
        let (caps, gauge) = (Arc::new(Caps::default()), gauge());
        let take = |address: &str, most| {
            let mut slot = caps.take(100, &gauge).unwrap();
            slot.belongs_to(address.parse().unwrap(), most)
                .then_some(slot)
        };
        let one = take("10.0.0.1", 1).unwrap();
        assert!(take("10.0.0.1", 1).is_none());
        assert!(take("::ffff:10.0.0.1", 1).is_none());
        let two = take("10.0.0.2", 1).unwrap();
        let three = take("2001:db8::1", 1).unwrap();
        assert!(take("2001:db8::2", 1).is_none());
        let four = take("2001:db8:0:1::1", 1).unwrap();
        drop(one);
        let five = take("10.0.0.1", 1).unwrap();
        drop((two, three, four, five));
        assert!(
            caps.clients
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
    }
}
