//! `api_key`: lets callers in who bring a known key.

mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
};

pub use keys::Key;
use keys::Keys;
pub use source::Place;
use source::Source;

use super::challenge::{challenge, refusal};

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
    /// Who has which key.
    keys: Vec<Key>,
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

/// The keys of one request, taken together.
enum Presented<'r> {
    None,
    One(Cow<'r, [u8]>),
    Several,
}

impl Filter for ApiKey {
    const NAME: &'static str = "api_key";
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let sources = sources(&config.from)?;
        let keys = Keys::new(config.keys)?;
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
        let identity = match self.presented(req) {
            Presented::None => return Err(self.missing.clone()),
            Presented::Several => return Err(self.several.clone()),
            Presented::One(key) => self.keys.get(&key).ok_or_else(|| self.unknown.clone())?,
        };
        req.exchange.identity = Some(identity.clone());
        if self.strip {
            for source in &self.sources {
                source.strip(req);
            }
        }
        Ok(())
    }
}

impl ApiKey {
    fn presented<'r>(&self, req: &'r Request<'_>) -> Presented<'r> {
        let mut presented = Presented::None;
        for source in &self.sources {
            source.find(req, |key| match &presented {
                Presented::None => presented = Presented::One(key),
                Presented::One(other) if *other == key => {}
                _ => presented = Presented::Several,
            });
        }
        presented
    }
}

fn sources(from: &[Place]) -> Result<Vec<Source>, Invalid> {
    let mut invalid = Invalid::default();
    let mut sources = Vec::new();
    for (position, place) in from.iter().enumerate() {
        let at = format!("from[{position}]");
        if from[..position].contains(place) {
            invalid.and(Invalid::at(
                &at,
                "expected another place, found the same again",
            ));
        }
        match Source::new(place.clone()) {
            Ok(source) => sources.push(source),
            Err(why) => invalid.and(Invalid::at(&at, why)),
        }
    }
    invalid.into_result()?;
    Ok(sources)
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
