//! An issuer of tokens: an OpenID provider as far as a gateway sees one, over real sockets.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::origin;

pub const OPENID: &str = "/.well-known/openid-configuration";
pub const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// A server that tells about itself and its keys, and counts who asks.
#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    pages: Mutex<HashMap<String, String>>,
    asked: Mutex<HashMap<String, usize>>,
    /// Whether answers are held back.
    held: Mutex<bool>,
    released: Condvar,
}

impl Issuer {
    /// One that speaks HTTP, and knows nothing yet.
    pub fn start() -> Self {
        let state = Arc::<State>::default();
        let copy = state.clone();
        let address = origin::answers(move |head| copy.answer(head));
        Self::at(&format!("http://{address}"), state)
    }

    /// One that speaks HTTPS, with the certificate `NAME.pem` of this folder.
    pub fn start_tls(folder: &Path, name: &str) -> Self {
        let state = Arc::<State>::default();
        let copy = state.clone();
        let address = origin::serve_tls(folder, name, move |stream| {
            while let Some(head) = origin::head(stream) {
                if stream.write_all(copy.answer(&head).as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self::at(&format!("https://localhost:{}", address.port()), state)
    }

    fn at(url: &str, state: Arc<State>) -> Self {
        let url = url.to_owned();
        Self { url, state }
    }

    /// Answers a path with this document.
    pub fn tell(&self, path: &str, document: &Value) {
        self.tell_as(path, "200 OK", "x-x: y", &document.to_string());
    }

    /// Answers a path with this status, field and body.
    pub fn tell_as(&self, path: &str, status: &str, field: &str, body: &str) {
        let length = body.len();
        let page =
            format!("HTTP/1.1 {status}\r\n{field}\r\ncontent-length: {length}\r\n\r\n{body}");
        self.state
            .pages
            .lock()
            .unwrap()
            .insert(path.to_owned(), page);
    }

    /// Tells where its keys are, and has these.
    pub fn publish(&self, keys: &[&Key]) {
        let keys_at = format!("{}/keys", self.url);
        self.tell(OPENID, &json!({ "issuer": self.url, "jwks_uri": keys_at }));
        self.tell("/keys", &set(keys));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let asked = self.state.asked.lock().unwrap();
        asked.get(path).copied().unwrap_or(0)
    }

    /// Answers nobody until it is told to go on.
    pub fn hold(&self) {
        *self.state.held.lock().unwrap() = true;
    }

    pub fn go_on(&self) {
        *self.state.held.lock().unwrap() = false;
        self.state.released.notify_all();
    }
}

impl State {
    fn answer(&self, head: &str) -> String {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        *self.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
        let pages = self.pages.lock().unwrap();
        pages
            .get(&path)
            .cloned()
            .unwrap_or_else(|| origin::empty(404))
    }
}

/// A set of keys.
pub fn set(keys: &[&Key]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}

/// A key of an issuer's, for RS256.
pub struct Key {
    pub id: String,
    pair: RsaKeyPair,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    pub fn new(id: &str) -> Self {
        Self::of_size(id, KeySize::Rsa2048)
    }

    pub fn of_size(id: &str, size: KeySize) -> Self {
        let pair = RsaKeyPair::generate(size).unwrap();
        Self {
            id: id.to_owned(),
            pair,
        }
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        // PKCS #1: a sequence of two integers, the first of them with a zero in front.
        let pkcs1 = self.pair.public_key().as_ref();
        let (n, e) = (&pkcs1[9..pkcs1.len() - 5], &pkcs1[pkcs1.len() - 3..]);
        json!({ "kty": "RSA", "kid": self.id, "use": "sig", "n": b64(n), "e": b64(e) })
    }

    /// A token with these claims, besides those that all have: good for an hour, for `orders`.
    pub fn token(&self, issuer: &str, other: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut claims = json!({
            "iss": issuer, "aud": "orders", "sub": "ann", "exp": now.as_secs() + 3600,
        });
        let all = claims.as_object_mut().unwrap();
        all.extend(other.as_object().unwrap().clone());
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": self.id });
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        (self.pair.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        ))
        .unwrap();
        format!("{signed}.{}", b64(signature))
    }
}
