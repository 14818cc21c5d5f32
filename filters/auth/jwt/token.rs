//! A token, taken apart (RFC 7515, 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;

/// Why a token is not valid, for the log. Of what is in it, no more than names.
pub(super) type Why = String;

/// Members of a header by which a token brings a key of its own, or says where to fetch one
/// (RFC 7515, 4.1.2 to 4.1.6). Nothing good comes of them (RFC 8725, 3.10).
const OWN_KEYS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// How long the name of a key may be that a token gives.
const LONGEST_ID: usize = 1024;

/// A token whose form is right, and of which nothing else is known yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    /// Which key it says to be signed with.
    pub(super) key: Option<String>,
    /// What is signed: the header and the claims.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    claims: &'t str,
}

/// What a header may say.
pub(super) struct Rules<'a> {
    pub(super) algorithms: &'a [Algorithm],
    /// The type that it must name; one of those of access tokens and plain tokens when absent.
    pub(super) typ: Option<&'a str>,
}

impl<'t> Token<'t> {
    /// # Errors
    /// Why this is no token that can be verified.
    pub(super) fn read(token: &'t [u8], rules: &Rules<'_>) -> Result<Self, Why> {
        let text = std::str::from_utf8(token).map_err(|_| "the token is no text")?;
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the token does not consist of three parts".into());
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        let header = decode(header, "header")?;
        let header = json::object(&header).map_err(|why| format!("the header has {why}"))?;
        let algorithm = check(&header, rules)?;
        let signature = decode(signature, "signature")?;
        if signature.is_empty() {
            return Err("the token is not signed".into());
        }
        Ok(Self {
            algorithm,
            key: key_id(&header)?,
            signed,
            signature,
            claims,
        })
    }

    /// What it says. Nobody can believe it before the signature is verified.
    ///
    /// # Errors
    /// Why it says nothing.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Why> {
        let claims = decode(self.claims, "claims")?;
        json::object(&claims).map_err(|why| format!("the claims have {why}"))
    }
}

fn decode(part: &str, name: &str) -> Result<Vec<u8>, Why> {
    // Padding, line breaks, and bits left over are refused: each token has one spelling.
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| format!("the {name} of the token is no base64url"))
}

/// Checks a header; its algorithm is one of those that the configuration names.
fn check(header: &Map<String, Value>, rules: &Rules<'_>) -> Result<Algorithm, Why> {
    let name = header.get("alg").and_then(Value::as_str);
    let name = name.ok_or("the header names no algorithm")?;
    let algorithm = Algorithm::of(name).filter(|it| rules.algorithms.contains(it));
    let Some(algorithm) = algorithm else {
        let known = Algorithm::of(name).map_or("another algorithm", Algorithm::name);
        let known = if name == "none" { "none" } else { known };
        return Err(format!(
            "the token is signed with {known}, expected {}",
            list(rules.algorithms)
        ));
    };
    if let Some(member) = OWN_KEYS.into_iter().find(|name| header.contains_key(*name)) {
        return Err(format!("the token brings a key of its own (`{member}`)"));
    }
    if header.contains_key("crit") || header.contains_key("b64") {
        // RFC 7515, 4.1.11: what is critical must be understood, and no extension is.
        return Err("the header has an extension that is critical (`crit`)".into());
    }
    if header.contains_key("zip") || header.contains_key("enc") {
        return Err("the token is compressed or encrypted".into());
    }
    check_type(header.get("typ"), rules.typ)?;
    Ok(algorithm)
}

/// Checks the type, in whose name `application/` may be left out, and whose case does not
/// matter (RFC 7515, 4.1.9).
fn check_type(found: Option<&Value>, expected: Option<&str>) -> Result<(), Why> {
    let found = match found {
        None => None,
        Some(Value::String(found)) => Some(media_type(found)),
        Some(_) => return Err("the type (`typ`) is no text".into()),
    };
    let is = |name: &str| found.is_some_and(|found| found.eq_ignore_ascii_case(media_type(name)));
    let fits = match expected {
        Some(expected) => is(expected),
        None => found.is_none() || is("JWT") || is("at+jwt"),
    };
    if fits {
        return Ok(());
    }
    let expected = expected.unwrap_or("JWT` or `at+jwt");
    Err(format!(
        "the token is of another type (`typ`), expected `{expected}`"
    ))
}

fn media_type(name: &str) -> &str {
    let start = "application/";
    match name.get(..start.len()) {
        Some(found) if found.eq_ignore_ascii_case(start) => &name[start.len()..],
        _ => name,
    }
}

fn key_id(header: &Map<String, Value>) -> Result<Option<String>, Why> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) if id.len() <= LONGEST_ID => Ok(Some(id.clone())),
        Some(_) => Err("the name of the key (`kid`) is no text, or too long".into()),
    }
}

/// Names of algorithms, for a message.
pub(super) fn list(algorithms: &[Algorithm]) -> String {
    let names: Vec<_> = algorithms
        .iter()
        .map(|algorithm| algorithm.name())
        .collect();
    names.join(" or ")
}
