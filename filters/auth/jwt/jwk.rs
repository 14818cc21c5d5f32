//! Keys as JSON (RFC 7517, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use super::key::{Key, Public};

/// How many keys a set may have.
pub(super) const MOST_KEYS: usize = 100;

/// Where a set of keys comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file of the operator's.
    File,
    /// The network, where everybody can read it: no secret can be in it.
    Network,
}

/// A set of keys as it was read.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) keys: Vec<Key>,
    /// Why others were left out.
    pub(super) unusable: Vec<String>,
    /// The keys as they were read, sorted: it becomes another when they do, whatever their order.
    pub(super) read: Vec<String>,
}

/// Reads a set of keys. Keys that are of no use for verifying, or of a kind that is not known, are
/// left out (RFC 7517, 5).
///
/// # Errors
/// Why it is no set of keys.
pub(super) fn set(text: &[u8], origin: Origin) -> Result<Set, String> {
    let mut document =
        json::object(text).map_err(|why| format!("expected a set of keys, found {why}"))?;
    let keys = match document.remove("keys") {
        Some(Value::Array(keys)) => keys,
        // A single key, as some write it.
        None if document.contains_key("kty") => vec![Value::Object(document)],
        _ => return Err("expected a set of keys with a list `keys`".into()),
    };
    if keys.len() > MOST_KEYS {
        let found = keys.len();
        return Err(format!("expected at most {MOST_KEYS} keys, found {found}"));
    }
    let mut set = Set::default();
    for (position, jwk) in keys.iter().enumerate() {
        let Value::Object(members) = jwk else {
            return Err(format!("expected an object in keys[{position}]"));
        };
        match key(members, origin) {
            Ok(Some(key)) => {
                set.keys.push(key);
                set.read.push(jwk.to_string());
            }
            Ok(None) => {}
            Err(why) => set.unusable.push(format!("keys[{position}]: {why}")),
        }
    }
    set.read.sort_unstable();
    Ok(set)
}

/// A key; `None` for one that is not meant for verifying, or of a kind that is not known.
fn key(jwk: &Map<String, Value>, origin: Origin) -> Result<Option<Key>, String> {
    if !is_for_verifying(jwk) {
        return Ok(None);
    }
    if jwk.contains_key("d") {
        return Err("expected a public key, found a private one".into());
    }
    let id = match jwk.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str().into()),
        Some(_) => return Err("expected a text in `kid`".into()),
    };
    let Some(key) = material(jwk, id, origin)? else {
        return Ok(None);
    };
    match text(jwk, "alg").map(Algorithm::of) {
        None => Ok(Some(key)),
        Some(None) => Ok(None),
        Some(Some(algorithm)) if key.fits(algorithm) => Ok(Some(key.only(algorithm))),
        Some(Some(algorithm)) => Err(format!(
            "expected a key for its `alg`, which is {algorithm}"
        )),
    }
}

/// Whether its `use` and `key_ops` allow that (RFC 7517, 4.2 and 4.3).
fn is_for_verifying(jwk: &Map<String, Value>) -> bool {
    let verifies = |operations: &Value| {
        let mut operations = operations.as_array().into_iter().flatten();
        operations.any(|operation| operation == "verify")
    };
    text(jwk, "use").is_none_or(|meant| meant == "sig") && jwk.get("key_ops").is_none_or(verifies)
}

/// The key itself (RFC 7518, 6; RFC 8037, 2); `None` where it is of a kind that is not known.
fn material(
    jwk: &Map<String, Value>,
    id: Option<Box<str>>,
    origin: Origin,
) -> Result<Option<Key>, String> {
    let bytes = |name: &str| {
        let value = text(jwk, name).ok_or_else(|| format!("expected a text in `{name}`"))?;
        let bytes = URL_SAFE_NO_PAD.decode(value);
        bytes.map_err(|_| format!("expected base64url in `{name}`"))
    };
    let key = match (text(jwk, "kty"), text(jwk, "crv")) {
        (Some("RSA"), _) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let (n, e) = (without_zeros(&n), without_zeros(&e));
            Key::public(&Public::Rsa { n, e }, id)?
        }
        (Some("EC"), Some(curve)) => {
            let (algorithm, size) = match curve {
                "P-256" => (Algorithm::ES256, 32),
                "P-384" => (Algorithm::ES384, 48),
                "P-521" => (Algorithm::ES512, 66),
                _ => return Ok(None),
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != size || y.len() != size {
                return Err(format!("expected {size} bytes in `x` and in `y`"));
            }
            let point = [&[4][..], &x, &y].concat();
            Key::public(&Public::Point(algorithm, &point), id)?
        }
        (Some("OKP"), Some("Ed25519")) => {
            let x = bytes("x")?;
            if x.len() != 32 {
                return Err("expected 32 bytes in `x`".into());
            }
            Key::public(&Public::Point(Algorithm::EdDSA, &x), id)?
        }
        (Some("oct"), _) if origin == Origin::Network => {
            return Err("expected a public key, found a secret that everybody can read".into());
        }
        (Some("oct"), _) => Key::secret(&bytes("k")?, id)?,
        (Some(_), _) => return Ok(None),
        (None, _) => return Err("expected a text in `kty`".into()),
    };
    Ok(Some(key))
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &str) -> Option<&'j str> {
    jwk.get(name).and_then(Value::as_str)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
