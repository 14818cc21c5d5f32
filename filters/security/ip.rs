//! `ip`: lets requests in by the client's address.

use wiregate_sdk::types::{Cidr, CidrSet, OneOrMany};
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, Invalid, JsonSchema, Reply, Request, StatusCode,
};

/// Lets requests in, or keeps them out, by the client's address.
///
/// The address is that of the connection's other end, or the one that a proxy tells which the
/// listener trusts (`trusted_proxies`). `deny` goes before `allow`; where there is an `allow`,
/// whatever is not in it is kept out. Who is kept out gets a 403 with the reason `ip_denied`.
///
/// ```yaml
/// - ip: { allow: [10.0.0.0/8, "2001:db8::/32"], deny: 10.0.0.66 }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Addresses and networks that are let in; all when absent.
    #[serde(default)]
    allow: Option<OneOrMany<Cidr>>,
    /// Addresses and networks that are kept out.
    #[serde(default)]
    deny: Option<OneOrMany<Cidr>>,
}

/// The running form of `ip`.
pub struct Ip {
    allow: Option<CidrSet>,
    deny: CidrSet,
}

impl Filter for Ip {
    const NAME: &'static str = "ip";
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        if config.allow.is_none() && config.deny.is_none() {
            return Err(Invalid::new("expected `allow`, `deny` or both"));
        }
        Ok(Self {
            allow: config.allow.map(|nets| nets.into_iter().collect()),
            deny: config.deny.into_iter().flatten().collect(),
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let address = req.exchange.client.address;
        let allowed = self
            .allow
            .as_ref()
            .is_none_or(|allow| allow.contains(address));
        if allowed && !self.deny.contains(address) {
            return Ok(());
        }
        Err(Reply::problem(StatusCode::FORBIDDEN, "ip_denied")
            .detail("requests from this address are not accepted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiregate_sdk::testing::{probe, refusal};

    #[tokio::test]
    async fn lets_in_only_what_is_allowed() {
        let filter = probe::<Ip>("allow: [10.0.0.0/8, '2001:db8::/32']");
        assert_eq!(filter.get("/").from("10.1.2.3").send().await.status(), 200);
        assert_eq!(
            filter.get("/").from("2001:db8::1").send().await.status(),
            200
        );
        let seen = filter.get("/").from("192.0.2.1").send().await;
        assert_eq!((seen.status(), seen.reason()), (403, Some("ip_denied")));
    }

    #[tokio::test]
    async fn denies_before_it_allows() {
        let filter = probe::<Ip>("{ allow: 10.0.0.0/8, deny: [10.0.0.66] }");
        assert_eq!(filter.get("/").from("10.0.0.65").send().await.status(), 200);
        assert_eq!(filter.get("/").from("10.0.0.66").send().await.status(), 403);
    }

    #[tokio::test]
    async fn sees_through_mapped_addresses() {
        let filter = probe::<Ip>("deny: 10.0.0.0/8");
        let seen = filter.get("/").from("::ffff:10.0.0.1").send().await;
        assert_eq!(seen.status(), 403);
    }

    #[test]
    fn refuses_to_do_nothing() {
        assert_eq!(refusal::<Ip>("{}"), "1:1: expected `allow`, `deny` or both");
    }
}
