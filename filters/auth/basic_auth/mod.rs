//! `basic_auth`: lets users in by name and password.

mod credentials;
pub mod password;
#[cfg(test)]
mod tests;
mod users;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request, StatusCode,
    header,
};

use credentials::{Credentials, Presented};
pub use users::User;
use users::Users;
use verifier::{Room, Unverified, Verifier};

use super::challenge::{challenge, refusal};

/// Lets users in by name and password (HTTP Basic, RFC 7617), and tells the filters behind who it
/// is: `consumer`, `identity.name` and `identity.groups` in their expressions.
///
/// | what happens | what the client gets |
/// |---|---|
/// | no `Authorization`, or one of another scheme | 401, reason `missing_credentials` |
/// | an unknown user, or a wrong password | 401, reason `invalid_credentials` |
/// | no valid credentials at all: no Base64 or colon, control characters, more than 1 KiB, two fields | 401, reason `invalid_credentials` |
/// | too many passwords are being verified | 503 with `Retry-After: 1`, reason `busy` |
/// | a verification breaks down | 500, reason `verification_failed` |
///
/// A 401 comes with `WWW-Authenticate: Basic realm="…", charset="UTF-8"`. Whether a user exists
/// cannot be told from the reply, nor from how long it takes: unknown names are verified as well,
/// against the password of a user that is picked by the name, the same one as long as the users are
/// the same. The upstream does not see the
/// credentials, unless `strip` is `false`.
///
/// Passwords are best kept as hashes: argon2id (`argon2`, at most 256 MiB of memory, 16 rounds and
/// 16 lanes) or bcrypt (`htpasswd -nB`, at most cost 16). To verify one takes much time on purpose,
/// so this happens beside the traffic: of all filters together as many at a time as there are
/// processors, with 16 more waiting for each, up to 5 s. Who comes in is let in for a minute without another verification, as long as
/// the user's hash is the same. Against guessing, put a `rate_limit` before this filter.
///
/// bcrypt sees no more than 72 bytes of a password; longer ones are refused for such users.
///
/// ```yaml
/// - basic_auth:
///     realm: metrics
///     users:
///       - name: alice
///         password_hash: $2b$10$abcdefghijklmnopqrstuuv1uPsmDSDoBmnHzpfFQ6Smfn7GwYk1i
///         groups: [admins]
///       - { name: bob, password: "${env:BOB_PASSWORD}" }
/// ```
///
/// Without `users` and `htpasswd`, the users are those that
/// [consumers](../configuration.md#consumers) of the configuration have under `basic_auth` among their
/// credentials; `consumers: true` lets them in beside the filter's own. No name here is that of a
/// consumer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// What the challenge of a 401 says the password is for.
    #[serde(default = "realm")]
    realm: String,
    /// Who may come in.
    #[serde(default)]
    users: Vec<User>,
    /// The absolute path of a file with more users, as `htpasswd -B` writes it: a line `name:hash`
    /// each, bcrypt only. It is read at start and at each reload,
    /// and a change of it makes a reload.
    #[serde(default)]
    htpasswd: Option<PathBuf>,
    /// Whether the users that `consumers:` of the configuration have are let in. When absent, they
    /// are where there are neither `users` nor `htpasswd` here.
    #[serde(default)]
    consumers: Option<bool>,
    /// Whether the credentials are removed before the request is sent on.
    #[serde(default = "super::strips")]
    strip: bool,
}

fn realm() -> String {
    "restricted".into()
}

/// The running form of `basic_auth`.
pub struct BasicAuth {
    users: Users,
    verifier: Arc<Verifier>,
    strip: bool,
    missing: Reply,
    refused: Reply,
}

impl Filter for BasicAuth {
    const NAME: &'static str = "basic_auth";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        // Before it is read: it may come, or be mended, later.
        if let Some(file) = &config.htpasswd {
            cx.watch(file);
        }
        cx.finds_consumers();
        let challenge = challenge("Basic", &config.realm, ", charset=\"UTF-8\"")?;
        let challenges = [challenge];
        let refusal = |reason, detail| refusal(&challenges, reason, detail);
        let none_here = config.users.is_empty() && config.htpasswd.is_none();
        let lets_consumers_in = config.consumers.unwrap_or(none_here);
        let (htpasswd, consumers) = (config.htpasswd.as_deref(), cx.consumers.clone());
        let users = Users::new(config.users, htpasswd, consumers, lets_consumers_in)?;
        let room = cx.share("basic_auth", Room::new);
        Ok(Self {
            users,
            verifier: cx.keep("verifier", || Verifier::new(room)),
            strip: config.strip,
            missing: refusal(
                "missing_credentials",
                "a user name and password are expected",
            ),
            refused: refusal(
                "invalid_credentials",
                "the user name and password are not accepted",
            ),
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let credentials = match credentials::presented(req.headers()) {
            Presented::None => return Err(self.missing.clone()),
            Presented::Malformed => return Err(self.refused.clone()),
            Presented::One(credentials) => credentials,
        };
        if !self.verify(&credentials, req).await? {
            return Err(self.refused.clone());
        }
        if self.strip {
            req.headers_mut().remove(&header::AUTHORIZATION);
        }
        Ok(())
    }
}

impl BasicAuth {
    /// Whether these are the credentials of a user, who is then known to the exchange.
    async fn verify(
        &self,
        credentials: &Credentials,
        req: &mut Request<'_>,
    ) -> Result<bool, Reply> {
        let (user, is_known) = self.users.find(&credentials.name);
        let now = req.now().instant;
        let verified = self
            .verifier
            .verify(&user, is_known, credentials, now)
            .await;
        match verified {
            Ok(true) => {
                req.exchange.identity = Some(user.identity.clone());
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(Unverified::Busy) => Err(busy()),
            Err(Unverified::Failed) => Err(failed()),
        }
    }
}

fn busy() -> Reply {
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "busy")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .detail("too many passwords are being verified, try again in 1 s")
}

fn failed() -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "verification_failed")
        .log("the verification of a password panicked or was cancelled")
}
