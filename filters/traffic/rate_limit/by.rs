//! Whose requests are counted together.

use std::net::{IpAddr, Ipv6Addr};

use wiregate_sdk::{Expression, Invalid};

pub(super) const ADDRESS: &str = "client.address";
pub(super) const IPV6_PREFIX: u8 = 64;
const CONSUMER: &str = "consumer";

/// Whose requests are counted together.
pub(super) enum By {
    /// Those of one address, or of an IPv6 network: the bits of its mask.
    Address(u128),
    Text(Expression),
}

impl By {
    pub(super) fn new(by: Option<Expression>, ipv6_prefix: Option<u8>) -> Result<Self, Invalid> {
        match (by, ipv6_prefix) {
            (Some(by), None) if by.source().trim() != ADDRESS => {
                match by.check_text().and_then(|()| by.check_early()) {
                    Ok(()) => Ok(Self::Text(by)),
                    Err(why) => Err(Invalid::at("by", why)),
                }
            }
            (Some(by), Some(_)) if by.source().trim() != ADDRESS => Err(Invalid::at(
                "ipv6_prefix",
                format!("expected with `by: {ADDRESS}` only"),
            )),
            (_, prefix) => match prefix.unwrap_or(IPV6_PREFIX) {
                prefix @ 1..=128 => Ok(Self::Address(u128::MAX << (128 - prefix))),
                other => Err(Invalid::at(
                    "ipv6_prefix",
                    format!("expected 1 to 128, found `{other}`"),
                )),
            },
        }
    }

    /// Whether callers are told apart by the consumer that they are, and by nothing else.
    pub(super) fn is_consumer(&self) -> bool {
        matches!(self, Self::Text(by) if by.source().trim() == CONSUMER)
    }

    /// Tells it from others, before and after a reload.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Address(mask) => format!("{ADDRESS}/{}", mask.leading_ones()),
            Self::Text(expression) => expression.source().to_owned(),
        }
    }
}

/// The client that an address belongs to.
pub(super) fn client(address: IpAddr, mask: u128) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
