//! `api_key`: lets callers in who bring a known key.

mod keys;
#[cfg(test)]
mod tests;

use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
};

pub use keys::Key;
use keys::Keys;
pub use keys::digest_of_secret;

use super::challenge::{challenge, refusal};
pub use super::source::Place;
use super::source::{Presented, Source, presented};

/// Lets callers in who bring a known key, and tells the filters behind who it is: `consumer`,
/// `identity.name` and `identity.groups` in their expressions.
///
/// | what happens | what the client gets |
/// |---|---|
/// | no key, or an empty one, in any of the places | 401, reason `missing_api_key` |
/// | a key that nobody has | 401, reason `invalid_api_key` |
/// | several keys that differ, be it in one place or in two | 401, reason `invalid_api_key` |
///
/// Each comes with `WWW-Authenticate`: `Bearer` for that place, `ApiKey` (not a registered scheme)
/// for the others. The upstream does not see the key, unless `strip` is `false`: what came in any of
/// the places is removed from the request. No reply repeats a key, and a query parameter is taken
/// out of the target that the access log shows, whatever its value. A request that another filter
/// refuses before this one, or that no route takes, is logged with the query that it came with.
///
/// Keys are looked up by their SHA-256, in a time that does not depend on how much of a key is
/// right nor on how many there are. A configuration that is not to hold keys, nor references to
/// them, can hold their `sha256` (`printf %s "$KEY" | sha256sum`), which is as good only if the key
/// is long and random. To change a caller's key without a gap, write both as a list for a while.
///
/// ```yaml
/// - api_key:
///     keys:
///       - { name: alice, key: "${env:ORDERS_KEY_OF_ALICE}", groups: [readers] }
///       - name: ci
///         sha256: bbdf631a00750a8d62cd7ffb016df9f58cf2cc4e31928005978769ee0adbb74f
/// ```
///
/// Without `keys`, the callers are the [consumers](../configuration.md#consumers) of the configuration
/// that have an `api_key` among their credentials; `consumers: true` accepts them beside the filter's
/// own `keys`. No name here is that of a consumer.
///
/// ```yaml
/// - api_key:
///     from: [{ bearer: true }, { header: x-token }, { query: key }, { cookie: session }]
///     realm: orders
///     strip: false
///     keys: [{ name: alice, key: ["${env:NEW_KEY_OF_ALICE}", "${env:OLD_KEY_OF_ALICE}"] }]
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Where the key comes in a request: one place, or several.
    #[serde(default = "header")]
    #[schemars(extend("default" = { "header": "x-api-key" }))]
    from: OneOrMany<Place>,
    /// Who has which key, besides the consumers of the configuration.
    #[serde(default)]
    keys: Option<Vec<Key>>,
    /// Whether the keys that `consumers:` of the configuration have are accepted. When absent, they
    /// are where there are no `keys` here.
    #[serde(default)]
    consumers: Option<bool>,
    /// What the challenge of a 401 says the keys are for.
    #[serde(default = "realm")]
    realm: String,
    /// Whether the key is removed before the request is sent on.
    #[serde(default = "super::strips")]
    strip: bool,
}

fn header() -> OneOrMany<Place> {
    OneOrMany::from(Place::Header("x-api-key".parse().expect("a field name")))
}

fn realm() -> String {
    "api".into()
}

/// The running form of `api_key`.
pub struct ApiKey {
    sources: Vec<Source>,
    keys: Keys,
    strip: bool,
    missing: Reply,
    unknown: Reply,
    several: Reply,
}

impl Filter for ApiKey {
    const NAME: &'static str = "api_key";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let sources = Source::all(&config.from, cx)?;
        cx.finds_consumers();
        let accepts_consumers = config.consumers.unwrap_or(config.keys.is_none());
        let keys = Keys::new(config.keys, cx.consumers.clone(), accepts_consumers)?;
        let challenges = challenges(&sources, &config.realm)?;
        let refusal = |reason, detail: &str| refusal(&challenges, reason, detail);
        let places: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let places = places.join(" or ");
        Ok(Self {
            missing: refusal(
                "missing_api_key",
                &format!("expected an API key in {places}"),
            ),
            unknown: refusal("invalid_api_key", "the API key is not known"),
            several: refusal("invalid_api_key", "several different API keys were sent"),
            sources,
            keys,
            strip: config.strip,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        for source in &self.sources {
            source.conceal(req.exchange);
        }
        let identity = match presented(&self.sources, req) {
            Presented::None => return Err(self.missing.clone()),
            Presented::Several => return Err(self.several.clone()),
            Presented::One(key) => self.keys.get(&key).ok_or_else(|| self.unknown.clone())?,
        };
        req.exchange.identity = Some(identity);
        if self.strip {
            for source in &self.sources {
                source.strip(req);
            }
        }
        Ok(())
    }
}

fn challenges(sources: &[Source], realm: &str) -> Result<Vec<HeaderValue>, Invalid> {
    let is_bearer = |source: &Source| matches!(source, Source::Bearer);
    let mut schemes = Vec::new();
    if sources.iter().any(is_bearer) {
        schemes.push("Bearer");
    }
    if !sources.iter().all(is_bearer) {
        schemes.push("ApiKey");
    }
    let challenges = schemes
        .into_iter()
        .map(|scheme| challenge(scheme, realm, ""));
    challenges.collect()
}
