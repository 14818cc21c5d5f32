mod attacks;
mod kept;
mod last;
mod let_in;
mod openssl;
mod options;
mod reload;
mod signer;
mod vectors;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wiregate_sdk::testing::{Probe, Seen};

use super::Jwt;
use signer::Signer;

/// A secret, as tests write it: `${env:…}` with these 64 characters.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Claims that are good for an hour, with these in place of theirs; null takes one away.
fn claims(other: &Value) -> Value {
    let mut claims = json!({ "iss": "ours", "aud": "orders", "sub": "ann", "exp": now() + 3600 });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in other.as_object().unwrap() {
        all.insert(name.clone(), value.clone());
        all.retain(|_, value| !value.is_null());
    }
    claims
}

/// A filter for tokens of `SECRET` with HS256, with these further options.
fn ours(options: &str) -> Probe {
    wiregate_sdk::testing::probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: HS256\nkeys: {{ secret: '${{env:{SECRET}}}' }}\n{options}"
    ))
}

async fn send(filter: &Probe, token: &str) -> Seen {
    let value = format!("Bearer {token}");
    filter.get("/").header("authorization", &value).send().await
}

/// Whether a token is let in, or why not, as the log says it.
async fn verdict(filter: &Probe, token: &str) -> Result<(), String> {
    let seen = send(filter, token).await;
    match &seen.reply {
        None => Ok(()),
        Some(reply) => Err(why(reply)),
    }
}

fn why(reply: &wiregate_sdk::Reply) -> String {
    match &reply.body {
        wiregate_sdk::reply::ReplyBody::Problem(problem) => problem.log.clone().unwrap_or_default(),
        _ => panic!("no problem"),
    }
}

fn hs256(claims: &Value) -> String {
    Signer::secret(SECRET).token(&json!({ "alg": "HS256" }), claims)
}
