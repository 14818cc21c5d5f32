//! Networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::scalar::{Scalar, scalar};

/// A network, or a single address, of IPv4 or IPv6.
///
/// An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`, RFC 4291, 2.5.5.2) is the IPv4 address that it
/// stands for, here and in a network: so it is in `10.0.0.0/8`, and not in `::/0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The same as the `ipnet` crate's type.
    pub const fn get(&self) -> IpNet {
        self.0
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let net: IpNet = text.parse().map_err(|_| Self::wrong(text))?;
        if net.trunc() != net {
            return Err(format!(
                "expected a network without bits after its prefix, found `{text}`; \
                 did you mean `{}`?",
                net.trunc()
            ));
        }
        Ok(Self(canonical(net)))
    }
}

/// The IPv4 network that an IPv4-mapped one stands for.
fn canonical(net: IpNet) -> IpNet {
    let IpAddr::V4(address) = net.addr().to_canonical() else {
        return net;
    };
    match net {
        IpNet::V6(v6) => v6
            .prefix_len()
            .checked_sub(96)
            .and_then(|prefix| Ipv4Net::new(address, prefix).ok())
            .map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

scalar!(Cidr, expected: "a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address", numbers: false, schema: {
    "type": "string",
    "description": "A network or an address, of IPv4 or IPv6.",
    "pattern": "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    "examples": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]
});

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn contains_its_own_family_and_mapped_addresses() {
        let net = cidr("10.0.0.0/8");
        assert!(net.contains(ip("10.255.0.1")));
        assert!(net.contains(ip("::ffff:10.0.0.1")));
        assert!(!net.contains(ip("11.0.0.1")));
        assert!(!cidr("::/0").contains(ip("10.0.0.1")));
        assert!(!cidr("::/0").contains(ip("::ffff:10.0.0.1")));
        assert!(cidr("2001:db8::/32").contains(ip("2001:db8::1")));
        assert_eq!(cidr("::ffff:10.0.0.0/104"), net);
        assert!(cidr("::ffff:192.0.2.7").contains(ip("192.0.2.7")));
    }

    #[test]
    fn shows_the_network_that_was_meant() {
        assert_eq!(
            "10.1.2.3/8".parse::<Cidr>().unwrap_err(),
            "expected a network without bits after its prefix, found `10.1.2.3/8`; \
             did you mean `10.0.0.0/8`?"
        );
        assert_eq!(
            "10.0.0/8".parse::<Cidr>().unwrap_err(),
            "expected a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address, \
             found `10.0.0/8`"
        );
        for text in [
            "",
            "/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "example.com",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(v4: u32, v6: u128, p4 in 0..=32_u8, p6 in 0..=128_u8) {
            let v4 = IpNet::new(IpAddr::V4(Ipv4Addr::from(v4)), p4).unwrap().trunc();
            let v6 = IpNet::new(IpAddr::V6(Ipv6Addr::from(v6)), p6).unwrap().trunc();
            for net in [v4, canonical(v6)] {
                prop_assert_eq!(Cidr(net).to_string().parse(), Ok(Cidr(net)));
            }
        }

        #[test]
        fn never_panics(text in "[0-9a-f:./]*|.*") {
            let _ = text.parse::<Cidr>();
        }
    }
}
