//! `request_id`: sends the request's id to the upstream.

use std::borrow::Cow;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::Deserializer;
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::types::{Cidr, CidrSet, FieldName, OneOrMany};
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderName, HeaderValue, Invalid, JsonSchema, Request,
};

/// Sends the request's id to the upstream, and takes it from the client where that is trusted.
///
/// Every request has an id, a UUID of version 7, that is in the access log and in the response's
/// `x-request-id`. This filter puts it into the request too, in place of what the client sent.
/// With `trust`, a client's own id is taken over instead, everywhere: it must be the only value of
/// the field, with 1 to 128 letters, digits or `.` `_` `:` `+` `/` `=` `@` `-`. Any other leaves
/// the request with its fresh id. So that filters and logs see one id only, put this filter first.
///
/// ```yaml
/// - request_id: { header: x-correlation-id, trust: [10.0.0.0/8, "2001:db8::/32"] }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// The request's field, to the upstream and from the client; `x-request-id` when absent.
    #[serde(default)]
    header: Option<FieldName>,
    /// Whose ids are taken over: `always` for everybody's, or the networks and addresses of
    /// connections, as of a proxy in front. Nobody's when absent.
    #[serde(default)]
    trust: Option<OneOrMany<Trusted>>,
}

/// Somebody whose ids are taken over.
#[derive(Clone, Copy, Debug)]
enum Trusted {
    Everybody,
    Network(Cidr),
}

/// The running form of `request_id`.
pub struct RequestId {
    field: HeaderName,
    trust: Trust,
}

enum Trust {
    Always,
    From(CidrSet),
}

const FIELD: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 128;

impl Filter for RequestId {
    const NAME: &'static str = "request_id";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let field = config.header.map_or(FIELD, HeaderName::from);
        cx.sets(&field);
        let trusted: Vec<_> = config.trust.into_iter().flatten().collect();
        let always = trusted
            .iter()
            .any(|trusted| matches!(trusted, Trusted::Everybody));
        if always && trusted.len() > 1 {
            let message = "expected `always` or networks, found both";
            return Err(Invalid::at("trust", message));
        }
        if !trusted.is_empty() {
            cx.reads(&field);
        }
        let networks = trusted.into_iter().filter_map(|trusted| match trusted {
            Trusted::Everybody => None,
            Trusted::Network(network) => Some(network),
        });
        Ok(Self {
            field,
            trust: if always {
                Trust::Always
            } else {
                Trust::From(networks.collect())
            },
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        if let Some(id) = self.given(req) {
            req.exchange.id = id;
        }
        let id = HeaderValue::from_str(&req.exchange.id);
        match id {
            Ok(id) => req.headers_mut().set(&self.field, id),
            Err(_) => drop(req.headers_mut().remove(&self.field)),
        }
        Ok(())
    }
}

impl RequestId {
    /// The client's own id, where it is to be taken over.
    fn given(&self, req: &Request<'_>) -> Option<Box<str>> {
        let trusted = match &self.trust {
            Trust::Always => true,
            Trust::From(networks) => networks.contains(req.exchange.client.peer),
        };
        if !trusted {
            return None;
        }
        let mut values = req.headers().get_all(&self.field).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        let id = value.to_str().ok()?;
        is_id(id).then(|| id.into())
    }
}

fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._:+/=@-".contains(&b);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)
}

impl<'de> Deserialize<'de> for Trusted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "always" {
            return Ok(Self::Everybody);
        }
        let network = text.parse().map(Self::Network);
        network.map_err(|error: String| match error.strip_prefix("expected ") {
            Some(rest) => D::Error::custom(format!("expected `always`, or {rest}")),
            None => D::Error::custom(error),
        })
    }
}

impl JsonSchema for Trusted {
    fn schema_name() -> Cow<'static, str> {
        "TrustedPeer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let network = generator.subschema_for::<Cidr>();
        json_schema!({ "anyOf": [{ "const": "always" }, network] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wiregate_sdk::testing::{Seen, probe, refusal};

    const FRESH: &str = "0190b6f0-0000-7000-8000-000000000000";

    /// The ids that the upstream, and the rest of the gateway, see.
    fn ids<'a>(seen: &'a Seen, field: &str) -> (Vec<&'a [u8]>, &'a str) {
        let values = seen.request.headers.get_all(field).iter();
        (
            values.map(|value| value.as_bytes()).collect(),
            &seen.exchange.id,
        )
    }

    #[tokio::test]
    async fn sends_the_id_in_place_of_the_clients() {
        let filter = probe::<RequestId>("{}");
        let seen = filter.get("/").send().await;
        assert_eq!(ids(&seen, "x-request-id"), (vec![FRESH.as_bytes()], FRESH));
        let call = filter.get("/").header("x-request-id", "mine");
        let seen = call.header("x-request-id", "too").send().await;
        assert_eq!(ids(&seen, "x-request-id"), (vec![FRESH.as_bytes()], FRESH));
    }

    #[tokio::test]
    async fn takes_over_ids_of_the_trusted() {
        let filter = probe::<RequestId>("trust: [10.0.0.0/8, '2001:db8::1']");
        for (peer, id) in [
            ("10.1.2.3", "mine"),
            ("::ffff:10.1.2.3", "mine"),
            ("2001:db8::1", "mine"),
            ("192.0.2.1", FRESH),
        ] {
            let call = filter.get("/").header("x-request-id", "mine").from(peer);
            let seen = call.send().await;
            assert_eq!(
                ids(&seen, "x-request-id"),
                (vec![id.as_bytes()], id),
                "{peer}"
            );
        }
        let filter = probe::<RequestId>("trust: always");
        let seen = filter.get("/").header("x-request-id", "mine").send().await;
        assert_eq!(ids(&seen, "x-request-id"), (vec![&b"mine"[..]], "mine"));
    }

    #[tokio::test]
    async fn uses_the_field_that_is_asked_for() {
        let filter = probe::<RequestId>("{ header: X-Correlation-Id, trust: always }");
        let call = filter.get("/").header("x-request-id", "other");
        let seen = call.header("x-correlation-id", "mine").send().await;
        assert_eq!(ids(&seen, "x-correlation-id"), (vec![&b"mine"[..]], "mine"));
        assert_eq!(seen.request.headers["x-request-id"], "other");
    }

    #[tokio::test]
    async fn leaves_an_id_that_is_none() {
        let filter = probe::<RequestId>("trust: always");
        let longest = "a".repeat(128);
        for good in ["a", "A9._:+/=@-", &longest] {
            let seen = filter.get("/").header("x-request-id", good).send().await;
            assert_eq!(&*seen.exchange.id, good);
        }
        let longer = "a".repeat(129);
        for bad in [
            "", "a b", "a,b", "a;b", "<a>", "\"a\"", "é", "a\tb", &longer,
        ] {
            let seen = filter.get("/").header("x-request-id", bad).send().await;
            assert_eq!(
                ids(&seen, "x-request-id"),
                (vec![FRESH.as_bytes()], FRESH),
                "{bad}"
            );
        }
        let twice = filter.get("/").header("x-request-id", "a");
        let seen = twice.header("x-request-id", "b").send().await;
        assert_eq!(ids(&seen, "x-request-id"), (vec![FRESH.as_bytes()], FRESH));
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        assert_eq!(
            refusal::<RequestId>("trust: [always, 10.0.0.0/8]"),
            "1:8: expected `always` or networks, found both"
        );
        assert_eq!(
            refusal::<RequestId>("trust: never"),
            "1:8: expected `always`, or a network such as `10.0.0.0/8` or `2001:db8::/32`, or an \
             address, found `never`"
        );
        assert!(refusal::<RequestId>("header: host").contains("an option of its own"));
        assert!(refusal::<RequestId>("trusts: always").contains("did you mean `trust`?"));
    }

    proptest! {
        #[test]
        fn an_id_is_always_a_field_value(text in ".*") {
            if is_id(&text) {
                prop_assert!(HeaderValue::from_str(&text).is_ok());
            }
        }
    }
}
