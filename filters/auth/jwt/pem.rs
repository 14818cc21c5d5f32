//! Public keys in PEM (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Key, Public};

/// The public keys of a text in PEM; at least one.
///
/// # Errors
/// What is in it instead.
pub(super) fn keys(text: &str, id: Option<&str>) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let ends = || "expected a key in PEM that ends with `-----END …-----`".to_owned();
        let (label, body) = block.split_once("-----").ok_or_else(ends)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&*end).ok_or_else(ends)?;
        if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
            return Err(format!(
                "expected a `PUBLIC KEY` in PEM, found a `{}`",
                label.escape_debug()
            ));
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|_| "expected a key in PEM, found what is no Base64 in it")?;
        keys.push(Key::public(&Public::Der(&der), id.map(Into::into))?);
        rest = after;
    }
    if keys.is_empty() {
        return Err("expected a `PUBLIC KEY` in PEM, found none".into());
    }
    Ok(keys)
}
