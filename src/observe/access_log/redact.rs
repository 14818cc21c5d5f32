//! Secrets in what is logged: which names they go by, and what stands in their place.
//!
//! A name is compared without case, and without `-`, `_` and `.`. What is masked without being asked for
//! errs on the side of hiding too much; `show` takes back what is no secret here.

use std::borrow::Cow;

use http::{HeaderName, header};
use percent_encoding::percent_decode_str;
use wiregate_sdk::expression::Said;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A name that has one of these in it is a secret's.
const PARTS: [&str; 13] = [
    "accesskey",
    "apikey",
    "assertion",
    "credential",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "session",
    "signature",
    "token",
];
/// A name that is one of these is a secret's.
const WORDS: [&str; 16] = [
    "auth",
    "authorization",
    "code",
    "codeverifier",
    "hmac",
    "otp",
    "pass",
    "passcode",
    "pin",
    "pwd",
    "samlrequest",
    "samlresponse",
    "sid",
    "sig",
    "ticket",
    "xauth",
];
/// A name that ends with this is a secret's, unless it is one of those after it.
const KEY: &str = "key";
const KEYS: [&str; 5] = [
    "cachekey",
    "idempotencykey",
    "secwebsocketkey",
    "surrogatekey",
    "xcachekey",
];
/// Fields whose value is a URL.
const URLS: [&str; 7] = [
    "content-location",
    "location",
    "referer",
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];
/// The schemes of credentials (RFC 9110, 11), which are no secrets themselves.
const SCHEMES: [&str; 10] = [
    "apikey",
    "aws4-hmac-sha256",
    "basic",
    "bearer",
    "digest",
    "dpop",
    "hawk",
    "negotiate",
    "ntlm",
    "token",
];

/// What is masked besides what always is, and what is shown nevertheless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// Fields whose values are masked.
    pub fields: Vec<HeaderName>,
    /// Parameters of queries whose values are masked, in the form of [`plain`].
    pub query: Vec<String>,
    /// Fields that are shown.
    pub shown_fields: Vec<HeaderName>,
    /// Parameters of queries that are shown, in the form of [`plain`].
    pub shown_query: Vec<String>,
    /// Cookies that are shown, by their names as they are.
    pub shown_cookies: Vec<String>,
}

/// How a value is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of it.
    Whole,
    /// All but the scheme.
    Credentials,
    /// The values of cookies.
    Cookies,
    /// The value of the cookie that is set, but not its attributes.
    SetCookie,
    /// The values of parameters with the names of secrets.
    Url,
}

/// Whether the values of a field are masked whatever is configured.
pub fn is_always_masked(name: &HeaderName) -> bool {
    credentials_of(name).is_some()
}

fn credentials_of(name: &HeaderName) -> Option<Mask> {
    if *name == header::AUTHORIZATION || *name == header::PROXY_AUTHORIZATION {
        Some(Mask::Credentials)
    } else if *name == header::COOKIE {
        Some(Mask::Cookies)
    } else if *name == header::SET_COOKIE {
        Some(Mask::SetCookie)
    } else {
        None
    }
}

/// A name as it is compared.
pub fn plain(name: &str) -> String {
    let name = percent_decode_str(name).decode_utf8_lossy();
    let kept = name.chars().filter(|c| !matches!(c, '-' | '_' | '.'));
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a name says that what goes by it is a secret.
pub fn names_secret(name: &str) -> bool {
    is_secret(&plain(name))
}

fn is_secret(plain: &str) -> bool {
    PARTS.iter().any(|part| plain.contains(part))
        || WORDS.contains(&plain)
        || (plain.ends_with(KEY) && !KEYS.contains(&plain))
}

impl Redaction {
    /// How a value that an expression reads is masked; not at all where it holds no secret.
    pub fn mask(&self, said: Said<'_>) -> Option<Mask> {
        match said {
            Said::Target => Some(Mask::Url),
            Said::Query(name) => self.hides(&plain(name)).then_some(Mask::Whole),
            Said::Cookie(name) => (!self.shows_cookie(name)).then_some(Mask::Whole),
            Said::Field(name) => credentials_of(name).or_else(|| self.mask_of_field(name)),
        }
    }

    fn mask_of_field(&self, name: &HeaderName) -> Option<Mask> {
        if self.fields.contains(name) {
            Some(Mask::Whole)
        } else if self.shown_fields.contains(name) {
            None
        } else if is_secret(&plain(name.as_str())) {
            Some(Mask::Whole)
        } else {
            URLS.contains(&name.as_str()).then_some(Mask::Url)
        }
    }

    /// Whether a parameter's value is masked.
    fn hides(&self, plain: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| *name == plain);
        named(&self.query) || (is_secret(plain) && !named(&self.shown_query))
    }

    fn shows_cookie(&self, name: &str) -> bool {
        self.shown_cookies.iter().any(|shown| shown == name)
    }

    /// A value, masked.
    pub(super) fn masked<'a>(&self, mask: Mask, text: &'a str) -> Cow<'a, str> {
        match mask {
            _ if text.is_empty() => "".into(),
            Mask::Whole => MASK.into(),
            Mask::Credentials => credentials(text).into(),
            Mask::Cookies => self.cookies(text).into(),
            Mask::SetCookie => self.set_cookie(text).into(),
            Mask::Url => self.url(text),
        }
    }

    /// A target or a URL. Names of parameters begin after `?`, `&`, `#` and `;`, whichever of them whoever
    /// reads the URL takes for the beginning of one.
    pub(crate) fn url<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (mut masked, mut kept) = (String::new(), 0);
        if let Some((from, to)) = userinfo(text) {
            masked.push_str(&text[..from]);
            masked.push_str(MASK);
            kept = to;
        }
        let mut at = kept;
        let mut in_query = false;
        while let Some(offset) = text[at..].find(['?', '&', '#', ';']) {
            let name = at + offset + 1;
            in_query |= matches!(text.as_bytes()[name - 1], b'?' | b'#');
            at = name;
            let end = text[name..].find(['=', '?', '&', '#', ';']);
            let Some(end) = end.map(|end| name + end) else {
                break;
            };
            if text.as_bytes()[end] != b'=' {
                continue;
            }
            at = end + 1;
            if self.hides(&plain(&text[name..end])) {
                // A `;` may be part of the value.
                let ends: &[char] = if in_query {
                    &['&', '#']
                } else {
                    &['/', '?', '#']
                };
                masked.push_str(&text[kept..at]);
                masked.push_str(MASK);
                at = text[at..].find(ends).map_or(text.len(), |end| at + end);
                kept = at;
            }
        }
        if kept == 0 {
            return text.into();
        }
        masked.push_str(&text[kept..]);
        masked.into()
    }

    /// `Cookie` (RFC 6265, 4.2.1).
    fn cookies(&self, text: &str) -> String {
        let each = text.split(';').map(|pair| self.cookie(pair.trim()));
        each.collect::<Vec<_>>().join("; ")
    }

    fn cookie(&self, pair: &str) -> String {
        match pair.split_once('=') {
            Some((name, _)) if self.shows_cookie(name) => pair.to_owned(),
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(), // a value without a name
        }
    }

    /// `Set-Cookie` (RFC 6265, 4.1.1).
    fn set_cookie(&self, text: &str) -> String {
        let (pair, attributes) = text.split_at(text.find(';').unwrap_or(text.len()));
        format!("{}{attributes}", self.cookie(pair.trim()))
    }
}

/// Where a name and a password stand before the host of a URL (RFC 3986, 3.2.1).
fn userinfo(text: &str) -> Option<(usize, usize)> {
    let from = text.find(['/', '?', '#', ';'])?;
    let from = text[from..].starts_with("//").then_some(from + 2)?;
    let authority = &text[from..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    Some((from, from + authority.rfind('@')?))
}

/// `Authorization` (RFC 9110, 11.6.2).
fn credentials(text: &str) -> String {
    let scheme = text.split_once(' ').map(|(scheme, _)| scheme);
    let known = scheme.filter(|scheme| SCHEMES.contains(&&*scheme.to_ascii_lowercase()));
    known.map_or_else(|| MASK.to_owned(), |scheme| format!("{scheme} {MASK}"))
}

#[cfg(test)]
mod tests;
