//! The options of `jwt`.

use wiregate_sdk::types::{OneOrMany, Period, Size};
use wiregate_sdk::value::did_you_mean;
use wiregate_sdk::{Consumers, Deserialize, Invalid, JsonSchema};

use super::algorithm::Algorithm;
use super::build::check_period;
use super::claims::Path;
use super::options::{Fetching, KeySource};
use super::requirement::Requirement;
use crate::auth::source::Place;

/// Lets callers in who bring a token that an issuer has signed (JWT, RFC 7519; as access tokens,
/// RFC 9068), and tells the filters behind who it is: `identity.name`, `identity.groups`,
/// `identity.scopes` and `identity.claims` in their expressions, and with `consumer` also `consumer`
/// and `identity.plan`.
///
/// With nothing but an `issuer`, its keys are found by what it says of itself: at
/// `/.well-known/openid-configuration` (OpenID Connect Discovery) or, where that is not there, at
/// `/.well-known/oauth-authorization-server` (RFC 8414). `keys` names other ones.
///
/// | what happens | what the client gets |
/// |---|---|
/// | no token | 401, reason `missing_token` |
/// | several tokens that differ | 400, reason `several_tokens` |
/// | a token that is not valid, has expired, or is for somebody else | 401, reason `invalid_token` |
/// | one of `scopes` is missing | 403, reason `insufficient_scope` |
/// | `when` does not hold, or has no value | 403, reason `not_allowed` |
/// | `consumer` says nobody that is known | 403, reason `unknown_consumer` |
/// | there are no keys yet, because the issuer does not answer | 503 with `Retry-After: 1`, reason `keys_unavailable` |
///
/// Each but the last comes with the challenge of RFC 6750, 3. The client is not told what is wrong with a
/// token; `detail` in the access log says that, which of `scopes` it lacks, and the text of a `when` that does
/// not hold, with references to secrets as they are written. No reply and no log repeats a token, and a query
/// parameter that brings one is taken out of the target that the access log shows. The upstream
/// does not see the token, unless `strip` is `false`.
///
/// **What is checked.** The signature, with a key that fits the algorithm, which must be one of
/// `algorithms`: what a token says of it is never believed. `exp`, which must be there; `nbf` and
/// `iat`; `iss` where there is an `issuer`; `aud`, which must have one of `audience`, and must not be
/// there where the filter has none; `typ`; and that all claims of `require` are there. Refused are
/// `alg: none`; tokens that bring a key of their own or its address (`jwk`, `jku`, `x5u`, `x5c`); anything in
/// `crit`; members that are there twice, at any depth; encrypted and compressed tokens; and those
/// that are larger than `max_token`. A key is chosen by `kid`. Of keys without that, or for tokens
/// without it, all are tried that fit, if those are no more than four.
///
/// **Fetched keys** are fetched when the configuration goes live, beside the traffic: other routes
/// do not wait for them, and requests with a token wait for the first ones no longer than `fetch.timeout`. A start says that it
/// is ready (`/readyz`) once they are there, or `limits.start_deadline` is over.
/// They are fetched again before they expire, and when a token names a key that is not known: one
/// fetch for however many requests, and then none for `fetch.cool_down`. When a fetch fails, the last good
/// keys stay. What is fetched may have 100 keys and 256 KiB; redirects are followed on the same
/// host only, three at most; secrets in it are left out. Filters that fetch the same keys in the
/// same way share them, and a reload fetches nothing that is there.
///
/// The last good keys stay as well when `refresh`, `cool_down` or `timeout` become others, and in an
/// [upgrade](../operating.md#upgrades), even if the issuer is down; they are fetched again when that is due by the new
/// times. With another `ca`, or another content of that file, or another `plain_http`, none stay: whoever was trusted to say
/// what the keys are may not be any more. Tokens get 503 then until the issuer has answered, so change these while
/// it is up. A restart begins without keys: where an issuer that does not answer has withdrawn some, it lets go of them.
///
/// **What a verified token costs.** It is not verified again before it expires, as long as it is
/// among the last `remember` ones and the keys are the same: it is found by a digest that only this process can make. A reload
/// forgets it only where an option of the filter, or what a secret or a file holds, is another one. Each takes
/// about five times the size of its claims; 10000 of 1 KiB some 50 MB.
///
/// ```yaml
/// - jwt: { issuer: "https://id.example.com", audience: orders }
/// ```
///
/// ```yaml
/// - jwt:
///     issuer: "https://id.example.com/realms/shop"
///     audience: [orders, shop]
///     algorithms: [ES256, EdDSA]
///     keys: { jwks: "https://id.example.com/realms/shop/keys" }
///     groups: [realm_access, roles]
///     scopes: orders:read
///     when: '"staff" in identity.groups || identity.claims.level >= 2'
/// ```
///
/// ```yaml
/// - jwt:
///     issuer: ours
///     audience: orders
///     algorithms: HS256
///     keys: [{ secret: "${env:TOKEN_SECRET}", kid: new }, { secret: "${env:OLD_TOKEN_SECRET}", kid: old }]
/// ```
///
/// `consumer` names the claim that says which of the [consumers](../configuration.md#consumers) of the
/// configuration is calling: the one that has its value as `subject`, with the filter's `issuer`, under
/// `jwt` among its credentials. Where nobody has such credentials, and unknown callers are refused, that is an error.
///
/// ```yaml
/// - jwt: { issuer: "https://id.example.com", audience: orders, consumer: client_id, unknown_consumer: allow }
/// - rate_limit: { limit: 100/min, by: consumer }
/// ```
///
/// Whoever is let in as none of them (`unknown_consumer: allow`) has no `consumer` and no plan, whatever the name.
/// Without the option, nobody whom this filter lets in is a consumer: a `rate_limit` with `by: consumer` behind it is an
/// error where no other filter before it finds consumers, and one with `by: identity.name` counts each caller alone.
///
/// [A whole configuration](../../examples/jwt.yaml) is among the examples.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Who must have issued a token: exactly what it has in `iss`. Without `keys`, the URL of an
    /// issuer that tells where its keys are.
    #[serde(default)]
    pub(super) issuer: Option<Box<str>>,
    /// Whom a token must be for: one of these must be in its `aud`. When absent, none may be.
    #[serde(default)]
    pub(super) audience: Option<OneOrMany<String>>,
    /// The keys, or where they are; those of the `issuer` when absent.
    #[serde(default)]
    pub(super) keys: Option<OneOrMany<KeySource>>,
    /// The algorithms that a token may be signed with.
    #[serde(default = "rs256")]
    #[schemars(extend("default" = "RS256"))]
    pub(super) algorithms: OneOrMany<Algorithm>,
    /// By how much the clocks of issuer and gateway may differ, up to 10m.
    #[serde(default = "leeway")]
    pub(super) leeway: Period,
    /// The type that a token must have (`typ`), such as `at+jwt`. When absent, `JWT`, `at+jwt` or
    /// none.
    #[serde(default)]
    pub(super) typ: Option<String>,
    /// Claims that a token must have: for each its name, or the names on the way to it.
    #[serde(default)]
    pub(super) require: Vec<Path>,
    /// The claim that is the caller's name (`identity.name`), which must be there: its name, or the
    /// names on the way to it.
    #[serde(default = "sub")]
    #[schemars(extend("default" = "sub"))]
    pub(super) name: Path,
    /// The claim that has the groups of the caller (`identity.groups`): a text or a list of texts.
    #[serde(default = "groups")]
    #[schemars(extend("default" = "groups"))]
    pub(super) groups: Path,
    /// The claim that has the scopes of the token (`identity.scopes`): a text with blanks in it or a list of
    /// texts. When absent, `scope`, or else `scp`.
    #[serde(default)]
    pub(super) scope: Option<Path>,
    /// The claim that says which consumer is calling.
    #[serde(default)]
    pub(super) consumer: Option<Path>,
    /// What becomes of a token whose `consumer` is not known.
    #[serde(default)]
    pub(super) unknown_consumer: UnknownConsumer,
    /// Scopes that a token must have, all of them.
    #[serde(default)]
    pub(super) scopes: Option<OneOrMany<String>>,
    /// What must hold of a request, once it is known who is calling.
    #[serde(default)]
    pub(super) when: Option<Requirement>,
    /// Where the token comes in a request: one place, or several.
    #[serde(default = "bearer")]
    #[schemars(extend("default" = { "bearer": true }))]
    pub(super) from: OneOrMany<Place>,
    /// What challenges say the tokens are for.
    #[serde(default = "realm")]
    pub(super) realm: String,
    /// Whether the token is removed before the request is sent on.
    #[serde(default = "crate::auth::strips")]
    pub(super) strip: bool,
    /// The largest token, up to 64KiB. The bounds of a request's head hold beside it.
    #[serde(default = "max_token")]
    pub(super) max_token: Size,
    /// How many verified tokens are remembered, at most 1000000; none with 0.
    #[serde(default = "remember")]
    #[schemars(range(max = 1_000_000))]
    pub(super) remember: usize,
    /// How keys are fetched.
    #[serde(default)]
    pub(super) fetch: Fetching,
}

/// What becomes of a token whose consumer is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum UnknownConsumer {
    /// It is refused.
    #[default]
    Refuse,
    /// Its caller is let in, and is none of the consumers.
    Allow,
}

fn rs256() -> OneOrMany<Algorithm> {
    OneOrMany::from(Algorithm::RS256)
}

fn leeway() -> Period {
    Period::seconds(30)
}

fn sub() -> Path {
    OneOrMany::from("sub".to_owned())
}

fn groups() -> Path {
    OneOrMany::from("groups".to_owned())
}

fn bearer() -> OneOrMany<Place> {
    OneOrMany::from(Place::Bearer(true))
}

fn realm() -> String {
    "api".into()
}

fn max_token() -> Size {
    Size::kib(8)
}

fn remember() -> usize {
    10_000
}

const MOST_TOKEN: Size = Size::kib(64);
const MOST_REMEMBERED: usize = 1_000_000;
const MOST_LEEWAY: Period = Period::seconds(600);

impl Config {
    /// Checks what can be without looking at keys.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        if self.unknown_consumer == UnknownConsumer::Allow && self.consumer.is_none() {
            let why = "expected it beside `consumer`, found no `consumer`";
            invalid.and(Invalid::at("unknown_consumer", why));
        }
        if self.max_token > MOST_TOKEN || self.max_token.is_empty() {
            let why = format!("expected 1 to {MOST_TOKEN}, found {}", self.max_token);
            invalid.and(Invalid::at("max_token", why));
        }
        if self.remember > MOST_REMEMBERED {
            let why = format!(
                "expected at most {MOST_REMEMBERED}, found {}",
                self.remember
            );
            invalid.and(Invalid::at("remember", why));
        }
        if let Err(why) = check_period("leeway", self.leeway, Period::millis(1), MOST_LEEWAY) {
            invalid.and(why);
        }
        invalid.into_result()
    }

    /// Whether anybody can be let in.
    pub(super) fn check_consumers(&self, consumers: &Consumers) -> Result<(), Invalid> {
        let issuer = self.issuer.as_deref();
        let refuses = self.unknown_consumer == UnknownConsumer::Refuse;
        if self.consumer.is_none() || !refuses || consumers.have_subjects(issuer) {
            return Ok(());
        }
        let mut why = match issuer {
            Some(issuer) => format!("expected consumers with a `jwt` of the issuer `{issuer}`"),
            None => "expected consumers with a `jwt` without an `issuer`".to_owned(),
        } + ", found none";
        if let Some(near) = did_you_mean(issuer.unwrap_or(""), consumers.issuers()) {
            why = format!("{why}: did you mean `{near}`?");
        }
        Err(Invalid::at("consumer", why))
    }
}
