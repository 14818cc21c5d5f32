//! Sets of networks.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer};

use super::{Cidr, OneOrMany};

/// A set of networks that answers quickly whether an address is in one of them: two sorted lists
/// of disjoint ranges, each searched by halving. Made for up to some 100 000 networks; cheap to
/// clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet {
    v4: Arc<[(u32, u32)]>,
    v6: Arc<[(u128, u128)]>,
}

impl CidrSet {
    /// Whether one of the networks contains an address. An IPv4-mapped IPv6 address is the IPv4
    /// address that it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }

    /// Whether there is no network in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after.checked_sub(1).is_some_and(|at| value <= ranges[at].1)
}

impl FromIterator<Cidr> for CidrSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(nets: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net.get() {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self {
            v4: disjoint(v4).into(),
            v6: disjoint(v6).into(),
        }
    }
}

/// Sorts ranges and joins those that overlap.
fn disjoint<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges
}

impl<'de> Deserialize<'de> for CidrSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nets = OneOrMany::<Cidr>::deserialize(deserializer)?;
        Ok(nets.into_iter().collect())
    }
}

impl JsonSchema for CidrSet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CidrSet".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OneOrMany::<Cidr>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_one_or_many() {
        let one: CidrSet = serde_json::from_str(r#""10.0.0.0/8""#).unwrap();
        let many: CidrSet = serde_json::from_str(r#"["10.0.0.0/8", "::1"]"#).unwrap();
        assert!(one.contains("10.0.0.1".parse().unwrap()));
        assert!(!one.contains("::1".parse().unwrap()));
        assert!(many.contains("::1".parse().unwrap()));
        assert!(many.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(serde_json::from_str::<CidrSet>("[]").is_err());
        assert!(!CidrSet::default().contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_whole_of_a_family_is_one_range() {
        let all = ["0.0.0.0/0", "10.0.0.0/8", "::/0", "::1"];
        let set: CidrSet = all.iter().map(|net| net.parse().unwrap()).collect();
        assert_eq!((set.v4.len(), set.v6.len()), (1, 1));
        for address in ["0.0.0.0", "255.255.255.255", "::", "ffff::ffff"] {
            assert!(set.contains(address.parse().unwrap()), "{address}");
        }
    }

    /// Networks and addresses close to each other, so that many hit, touch and overlap.
    fn v4_net() -> impl Strategy<Value = Cidr> {
        (0..64_u32, 24..=32_u8).prop_map(|(host, prefix)| {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + host * 16);
            format!("{}", IpNet::new(address.into(), prefix).unwrap().trunc())
                .parse()
                .unwrap()
        })
    }

    fn v6_net() -> impl Strategy<Value = Cidr> {
        (0..64_u128, 120..=128_u8).prop_map(|(host, prefix)| {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + host * 16);
            format!("{}", IpNet::new(address.into(), prefix).unwrap().trunc())
                .parse()
                .unwrap()
        })
    }

    proptest! {
        #[test]
        fn agrees_with_asking_each_network(
            nets in prop::collection::vec(prop_oneof![v4_net(), v6_net()], 0..24),
            hosts in prop::collection::vec(0..1100_u32, 32),
        ) {
            let set: CidrSet = nets.iter().copied().collect();
            for host in hosts {
                let v4 = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 - 16 + host));
                let v6 = Ipv6Addr::from_bits((0x2001_0db8 << 96) - 16 + u128::from(host)).into();
                let mapped = Ipv4Addr::from_bits(0x0a00_0000 - 16 + host).to_ipv6_mapped().into();
                for address in [v4, v6, mapped] {
                    let naive = nets.iter().any(|net| net.contains(address));
                    prop_assert_eq!(set.contains(address), naive, "{}", address);
                }
            }
        }
    }
}
