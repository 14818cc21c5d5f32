//! Fetches sets of keys: bounded in size, in time and in where it goes.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Response, Url, header};
use serde_json::Value;
use wiregate_sdk::Clock;

use super::json;
use super::jwk::{self, Origin, Set};
use super::lifetime;

/// How large what is fetched may be.
pub(super) const MOST_BYTES: usize = 256 << 10;
const MOST_REDIRECTS: usize = 3;

/// Where keys are fetched from, and with what.
pub(super) struct Fetch {
    pub(super) client: Client,
    pub(super) from: From,
    pub(super) time_out: Duration,
    /// Whether HTTP without TLS is taken from other hosts than this one.
    pub(super) plain_http: bool,
}

/// Where keys are fetched from.
pub(super) enum From {
    /// A set of keys.
    Jwks(Url),
    /// An issuer, who tells where its keys are.
    Issuer(Box<str>),
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) set: Set,
    /// How much longer it is good, where that was said.
    pub(super) max_age: Option<Duration>,
}

/// A client that trusts these authorities; those of the system where there are none.
///
/// # Errors
/// Why there can be none.
pub(super) fn client(ca: Option<&[u8]>) -> Result<Client, String> {
    let mut client = Client::builder()
        .user_agent("wiregate")
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(Policy::custom(redirect));
    if let Some(ca) = ca {
        let authorities = Certificate::from_pem_bundle(ca).map_err(|why| words(&why))?;
        if authorities.is_empty() {
            return Err("expected certificates in PEM, found none".into());
        }
        client = client.tls_certs_only(authorities);
    }
    client.build().map_err(|why| words(&why))
}

/// Follows to the same host only: another one could be anybody, or a machine behind the gateway.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let Some(first) = attempt.previous().first() else {
        return attempt.stop();
    };
    if first.origin() != attempt.url().origin() {
        return attempt.error("a redirect leads to another host");
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("there are too many redirects");
    }
    attempt.follow()
}

impl Fetch {
    /// Whose keys these are, for messages and metrics, without what may be a secret.
    pub(super) fn shown(&self) -> String {
        match &self.from {
            From::Jwks(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.into()
            }
            From::Issuer(issuer) => issuer.to_string(),
        }
    }

    /// How long whoever waits for them has to, at most.
    pub(super) fn patience(&self) -> Duration {
        self.time_out + Duration::from_millis(100)
    }

    /// Gets them.
    ///
    /// # Errors
    /// Why that failed.
    pub(super) async fn keys(&self, clock: &Clock) -> Result<Fetched, String> {
        let all = tokio::time::timeout(self.time_out, self.keys_at_leisure(clock)).await;
        all.map_err(|_| format!("no answer within {:?}", self.time_out))?
    }

    async fn keys_at_leisure(&self, clock: &Clock) -> Result<Fetched, String> {
        let response = match &self.from {
            From::Jwks(url) => self.get(url).await?,
            From::Issuer(issuer) => {
                let url = self.discover(issuer).await?;
                self.get(&url)
                    .await
                    .map_err(|why| format!("{url}: {why}"))?
            }
        };
        let max_age = lifetime::left(response.headers(), clock.wall());
        let body = read(response).await?;
        Ok(Fetched {
            set: set(&body)?,
            max_age,
        })
    }

    /// Asks an issuer where its keys are (OpenID Connect Discovery 1.0, 4; RFC 8414, 3).
    async fn discover(&self, issuer: &str) -> Result<Url, String> {
        let mut said = Vec::new();
        for url in well_known(issuer)? {
            // A server that answers every path with some page has not been asked in the right way yet.
            match self.ask_issuer(issuer, &url).await {
                Ok(keys) => return Ok(keys),
                Err(why) => said.push(format!("{url}: {why}")),
            }
        }
        Err(said.join("; "))
    }

    async fn ask_issuer(&self, issuer: &str, url: &Url) -> Result<Url, String> {
        let document = read(self.get(url).await?).await?;
        self.keys_of(issuer, &document)
    }

    /// Where the keys are, out of what an issuer says of itself.
    fn keys_of(&self, issuer: &str, document: &[u8]) -> Result<Url, String> {
        let found = |why| format!("expected what the issuer says of itself, found {why}");
        let document = json::object(document).map_err(found)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        // Exactly the same, or it speaks for somebody else (OpenID Connect Discovery 1.0, 4.3).
        if text("issuer") != Some(issuer) {
            return Err("the document found there is of another issuer".into());
        }
        let keys = text("jwks_uri").ok_or("the issuer does not say where its keys are")?;
        address(keys, self.plain_http).map_err(|why| format!("`jwks_uri`: {why}"))
    }

    async fn get(&self, url: &Url) -> Result<Response, String> {
        let request = self
            .client
            .get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json");
        let response = request.send().await.map_err(|why| words(&why))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(format!("expected status 200, found {status}")),
        }
    }
}

/// Reads a set of keys that anybody may have written.
///
/// # Errors
/// It is none, or nothing in it can verify a token.
pub(super) fn set(text: &[u8]) -> Result<Set, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("expected at most {MOST_BYTES} bytes, found more"));
    }
    let set = jwk::set(text, Origin::Network)?;
    if set.keys.is_empty() {
        let why = set.unusable.first().map_or("", String::as_str);
        return Err(format!("expected keys to verify with, found none {why}"));
    }
    Ok(set)
}

/// Where an issuer may tell about itself: as OpenID Connect has it, and as RFC 8414 does, 3.1.
fn well_known(issuer: &str) -> Result<[Url; 2], String> {
    let parse = |text: &str| Url::parse(text).map_err(|why| why.to_string());
    let appended = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let mut inserted = parse(issuer)?;
    let path = inserted.path().trim_end_matches('/').to_owned();
    inserted.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Ok([parse(&appended)?, inserted])
}

/// An address that keys may be fetched from: over TLS, or on this machine, or anywhere where
/// somebody has written that down.
///
/// # Errors
/// Why not.
pub(super) fn address(text: &str, plain_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|why| format!("expected a URL: {why}"))?;
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    let is_local = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("expected a URL without a user and a fragment".into());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local || plain_http => Ok(url),
        "http" => Err(
            "expected `https`, found `http`, over which anybody on the way can put in keys".into(),
        ),
        other => Err(format!(
            "expected `https`, found `{}`",
            other.escape_debug()
        )),
    }
}

/// Reads a body to its end.
async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|why| words(&why))? {
        if body.len() + piece.len() > MOST_BYTES {
            return Err(format!("expected at most {MOST_BYTES} bytes, found more"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What went wrong, down to its cause, without the address, which is told beside it.
fn words(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
