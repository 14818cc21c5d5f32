//! Keys out of what the user writes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use reqwest::Client;
use wiregate_sdk::types::Period;
use wiregate_sdk::{Build, Filter, Invalid};

use super::Jwt;
use super::algorithm::{Algorithm, Scheme};
use super::fetch::{self, Fetch, From};
use super::jwk::{self, Origin};
use super::key::Key;
use super::keys::Keys;
use super::last::{Last, Source};
use super::options::{Fetching, KeySource, PlainHttp};
use super::pem;
use super::remote::Remote;
use super::token::list;

/// A SHA-256.
pub(super) type Digest = [u8; 32];

/// How large a file of keys may be.
const MOST_FILE_BYTES: u64 = 256 << 10;

/// The SHA-256 of these bytes.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("32 bytes")
}

/// Puts together the keys of one filter.
pub(super) struct Builder<'a, 'b> {
    cx: &'a mut Build<'b>,
    algorithms: &'a [Algorithm],
    fetching: &'a Fetching,
    /// What fetches, and what tells whom it trusts; where anything is to be fetched.
    client: Option<(Client, String)>,
    /// What the secrets and files hold, as far as they are read.
    material: digest::Context,
}

impl<'a, 'b> Builder<'a, 'b> {
    pub(super) fn new(
        cx: &'a mut Build<'b>,
        algorithms: &'a [Algorithm],
        fetching: &'a Fetching,
    ) -> Self {
        Self {
            cx,
            algorithms,
            fetching,
            client: None,
            material: digest::Context::new(&digest::SHA256),
        }
    }

    /// Tells what secrets and files hold from all else that they could: a digest, with their lengths.
    pub(super) fn material(self) -> Digest {
        let digest = self.material.finish();
        digest.as_ref().try_into().expect("32 bytes")
    }

    fn holds(&mut self, bytes: &[u8]) {
        self.material.update(&(bytes.len() as u64).to_le_bytes());
        self.material.update(bytes);
    }

    /// The keys of these sources; without any, those of the issuer.
    pub(super) fn keys(
        &mut self,
        sources: Option<&[KeySource]>,
        issuer: Option<&str>,
    ) -> Result<Keys, Invalid> {
        self.check_times()?;
        let fetches = |source: &KeySource| source.jwks.is_some();
        if sources.is_none_or(|sources| sources.iter().any(fetches)) {
            self.client = Some(self.client().map_err(|why| why.within("fetch"))?);
        }
        let mut keys = Keys {
            own: Vec::new(),
            fetched: Vec::new(),
        };
        let mut invalid = Invalid::default();
        match (sources, issuer) {
            (None, None) => invalid.and(Invalid::new(
                "expected `keys`, or an `issuer` that tells where they are",
            )),
            (None, Some(issuer)) => match self.issuer(issuer) {
                Ok(remote) => keys.fetched.push(remote),
                Err(why) => invalid.and(why.within("issuer")),
            },
            (Some(sources), _) => {
                for (position, source) in sources.iter().enumerate() {
                    if let Err(why) = self.source(source, &mut keys) {
                        invalid.and(why.within(&format!("keys[{position}]")));
                    }
                }
            }
        }
        invalid.into_result()?;
        self.check_algorithms(&keys)?;
        Ok(keys)
    }

    fn source(&mut self, source: &KeySource, keys: &mut Keys) -> Result<(), Invalid> {
        let KeySource {
            secret,
            pem,
            file,
            jwks,
            ..
        } = source;
        let written = [
            secret.is_some(),
            pem.is_some(),
            file.is_some(),
            jwks.is_some(),
        ];
        if written.iter().filter(|is_written| **is_written).count() != 1 {
            return Err(Invalid::new(
                "expected one of `secret`, `pem`, `file` and `jwks`",
            ));
        }
        if source.kid.is_some() && (file.is_some() || jwks.is_some()) {
            let why = "expected `kid` beside a `secret` or `pem` only: other keys have their own";
            return Err(Invalid::at("kid", why));
        }
        let kid = source.kid.as_deref();
        if let Some(secret) = secret {
            self.holds(secret.expose().as_bytes());
            let key = source.encoding.decode(secret);
            let key = key.and_then(|key| Key::secret(&key, kid.map(Into::into)));
            let key = key.map_err(|why| Invalid::at("secret", why))?;
            keys.own.push(self.fitting(vec![key], "secret")?.remove(0));
        }
        if let Some(text) = pem {
            let read = pem::keys(text, kid).map_err(|why| Invalid::at("pem", why))?;
            keys.own.extend(self.fitting(read, "pem")?);
        }
        if let Some(path) = file {
            let read = self.file(path).map_err(|why| Invalid::at("file", why))?;
            keys.own.extend(self.fitting(read, "file")?);
        }
        if let Some(url) = jwks {
            let plain_http = self.fetching.plain_http == PlainHttp::Allow;
            let url = fetch::address(url, plain_http).map_err(|why| Invalid::at("jwks", why))?;
            keys.fetched.push(self.remote(From::Jwks(url))?);
        }
        Ok(())
    }

    /// The keys that an algorithm of the configuration is for; at least one.
    fn fitting(&self, mut keys: Vec<Key>, path: &str) -> Result<Vec<Key>, Invalid> {
        keys.retain(|key| key.fits_any(self.algorithms));
        if keys.is_empty() {
            let algorithms = list(self.algorithms);
            let why =
                format!("expected a key for {algorithms}, found one for none of `algorithms`");
            return Err(Invalid::at(path, why));
        }
        Ok(keys)
    }

    /// Whether there may be a key for each algorithm.
    fn check_algorithms(&self, keys: &Keys) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        for (position, algorithm) in self.algorithms.iter().enumerate() {
            // Secrets are never fetched.
            let is_fetched =
                !keys.fetched.is_empty() && !matches!(algorithm.scheme(), Scheme::Hmac(_));
            if !is_fetched && !keys.own.iter().any(|key| key.fits(*algorithm)) {
                let why = format!(
                    "expected algorithms with a key, found {algorithm}, which no key is for"
                );
                invalid.and(Invalid::at(format!("algorithms[{position}]"), why));
            }
        }
        invalid.into_result()
    }

    fn file(&mut self, path: &Path) -> Result<Vec<Key>, String> {
        self.cx.watch(path);
        let text = read(path)?;
        self.holds(&text);
        if !text.trim_ascii_start().starts_with(b"{") {
            let text = String::from_utf8_lossy(&text);
            return pem::keys(&text, None);
        }
        let set = jwk::set(&text, Origin::File)?;
        match set.unusable.into_iter().next() {
            Some(why) => Err(why),
            None => Ok(set.keys),
        }
    }

    fn issuer(&mut self, issuer: &str) -> Result<Arc<Remote>, Invalid> {
        let plain_http = self.fetching.plain_http == PlainHttp::Allow;
        let url = fetch::address(issuer, plain_http).map_err(Invalid::new)?;
        if url.query().is_some() {
            return Err(Invalid::new("expected an issuer without a query"));
        }
        self.remote(From::Issuer(issuer.into()))
    }

    /// The one that all filters share which fetch the same keys in the same way.
    fn remote(&mut self, from: From) -> Result<Arc<Remote>, Invalid> {
        let Fetching {
            refresh,
            cool_down,
            timeout,
            plain_http,
            ..
        } = *self.fetching;
        let (client, trust) = self.client.clone().expect("made before");
        let fetch = Fetch {
            client,
            from,
            time_out: timeout.get(),
            plain_http: plain_http == PlainHttp::Allow,
        };
        let last = self.last(&fetch, &format!("{trust} and HTTP: {plain_http:?}"));
        let key = format!(
            "jwt\u{0}{}\u{0}{refresh}\u{0}{cool_down}\u{0}{timeout}",
            last.source()
        );
        let remote = self.cx.share(key, || {
            Remote::new(fetch, last, refresh.get(), cool_down.get())
        });
        self.cx.background(remote.clone().run());
        Ok(remote)
    }

    /// What was last fetched from there. The times are not in its key, and all that is trusted is.
    fn last(&mut self, fetch: &Fetch, trust: &str) -> Arc<Last> {
        let (kind, at) = match &fetch.from {
            From::Jwks(url) => ("jwks", url.as_str()),
            From::Issuer(issuer) => ("issuer", &**issuer),
        };
        let source = Source::new(kind, at, trust);
        let clock = self.cx.clock.clone();
        let shown = self.cx.fetches(Jwt::NAME, &fetch.shown());
        let key = format!("jwt keys\u{0}{source}");
        (self.cx).share_over_upgrades(key, || Last::new(source, clock, shown))
    }

    /// A client, and what tells whom it trusts.
    fn client(&mut self) -> Result<(Client, String), Invalid> {
        let ca = match &self.fetching.ca {
            None => None,
            Some(path) => {
                self.cx.watch(path);
                let ca = read(path).map_err(|why| Invalid::at("ca", why))?;
                self.holds(&ca);
                Some(ca)
            }
        };
        let trust = ca.as_deref().map(digest_of);
        let trust = format!("{trust:?}");
        let client = self.cx.share(format!("jwt client\u{0}{trust}"), || {
            fetch::client(ca.as_deref())
        });
        let place = if self.fetching.ca.is_some() { "ca" } else { "" };
        match &*client {
            Ok(client) => Ok((client.clone(), trust)),
            Err(why) => Err(Invalid::at(place, format!("cannot make a client: {why}"))),
        }
    }

    fn check_times(&self) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        let Fetching {
            refresh,
            cool_down,
            timeout,
            ..
        } = self.fetching;
        for (name, period, least, most) in [
            (
                "refresh",
                refresh,
                Period::seconds(1),
                Period::seconds(86_400),
            ),
            (
                "cool_down",
                cool_down,
                Period::seconds(1),
                Period::seconds(3600),
            ),
            ("timeout", timeout, Period::millis(100), Period::seconds(30)),
        ] {
            check_period(name, *period, least, most).unwrap_or_else(|why| {
                invalid.and(why.within("fetch"));
            });
        }
        invalid.into_result()
    }
}

/// Whether a time is within its bounds.
pub(super) fn check_period(
    name: &str,
    period: Period,
    least: Period,
    most: Period,
) -> Result<(), Invalid> {
    if (least..=most).contains(&period) {
        return Ok(());
    }
    let why = format!("expected {least} to {most}, found {period}");
    Err(Invalid::at(name, why))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("expected an absolute path, found `{shown}`"));
    }
    let cannot = |why: std::io::Error| format!("cannot read {shown}: {why}");
    let file = fs::metadata(path).map_err(cannot)?;
    if !file.is_file() || file.len() > MOST_FILE_BYTES {
        return Err(format!("expected a file of at most 256 KiB, found {shown}"));
    }
    fs::read(path).map_err(cannot)
}
