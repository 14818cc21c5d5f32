//! The cookie that leads a client back to the endpoint that served it.
//!
//! Its value is the endpoint's ticket: HMAC-SHA256 over the names of the upstream and of the
//! endpoint. Only the gateway can make one, it tells nothing about the endpoint, and it is worth
//! nothing at another upstream. All tickets are made when endpoints change, so that a request only
//! looks its own up.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use wiregate_sdk::{RequestHead, cookies};

use super::Endpoint;
use crate::config::model::upstream as model;

const BYTES: usize = 32;
/// A ticket in base64url (RFC 4648, 5), without padding.
const LETTERS: usize = 43;

/// What a cookie's value says, whether it is good or not.
pub(super) struct Ticket([u8; BYTES]);

/// How a cookie is made.
pub struct Sticky {
    cookie: Box<str>,
    upstream: Box<str>,
    /// The first one signs.
    keys: Box<[hmac::Key]>,
    attributes: Box<str>,
}

impl Sticky {
    pub(super) fn new(upstream: &str, config: &model::Sticky) -> Self {
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut attributes = format!("; Path={}; HttpOnly; SameSite=Lax", config.path.value);
        if let Some(max_age) = config.max_age {
            attributes += &format!("; Max-Age={}", max_age.get().as_secs().max(1));
        }
        Self {
            cookie: config.cookie.as_str().into(),
            upstream: upstream.into(),
            keys: (config.secret.iter())
                .map(|secret| key(secret.expose().as_bytes()))
                .collect(),
            attributes: attributes.into(),
        }
    }

    /// The ticket that a request brings.
    pub(super) fn ticket(&self, head: &RequestHead) -> Option<Ticket> {
        let value = cookies::find(&head.headers, &self.cookie)?;
        let mut bytes = [0; BYTES];
        let read = (value.len() == LETTERS)
            .then(|| BASE64_URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok())?;
        (read == Some(BYTES)).then_some(Ticket(bytes))
    }

    /// Takes the cookie out of what an endpoint gets.
    pub(super) fn hide(&self, head: &mut RequestHead) {
        cookies::remove(&mut head.headers, &self.cookie);
    }

    fn sign(&self, key: &hmac::Key, endpoint: &Endpoint) -> [u8; BYTES] {
        let named = format!("{}\u{0}{}", self.upstream, endpoint.label);
        let tag = hmac::sign(key, named.as_bytes());
        tag.as_ref().try_into().expect("a tag of SHA-256")
    }

    /// What sets the cookie: over HTTP, and over HTTPS.
    fn fields(&self, ticket: &[u8; BYTES]) -> [HeaderValue; 2] {
        let value = BASE64_URL_SAFE_NO_PAD.encode(ticket);
        ["", "; Secure"].map(|secure| {
            let field = format!("{}={value}{}{secure}", self.cookie, self.attributes);
            HeaderValue::from_str(&field).expect("its parts were checked at load")
        })
    }
}

/// The tickets of all endpoints.
#[derive(Default)]
pub(super) struct Tickets {
    /// With the endpoints' positions, in order.
    good: Box<[([u8; BYTES], usize)]>,
    /// What gives each endpoint's ticket to a client, by position.
    fields: Box<[[HeaderValue; 2]]>,
}

impl Tickets {
    pub(super) fn new(sticky: Option<&Sticky>, endpoints: &[Arc<Endpoint>]) -> Self {
        let Some(sticky) = sticky else {
            return Self::default();
        };
        let mut good = Vec::new();
        for key in &sticky.keys {
            let each = endpoints.iter().enumerate();
            good.extend(each.map(|(position, endpoint)| (sticky.sign(key, endpoint), position)));
        }
        // Those of the first key come first.
        let fields = good.iter().take(endpoints.len());
        let fields = fields.map(|(ticket, _)| sticky.fields(ticket)).collect();
        good.sort_unstable();
        Self {
            good: good.into(),
            fields,
        }
    }

    /// The position of the endpoint that a ticket belongs to, where it is good.
    pub(super) fn position(&self, Ticket(ticket): &Ticket) -> Option<usize> {
        // The time that this takes may tell a few bytes of a good ticket; the rest is compared in
        // a time that tells nothing.
        let start = |ticket: &[u8; BYTES]| ticket.first_chunk::<8>().copied();
        let from = (self.good).partition_point(|(good, _)| start(good) < start(ticket));
        let (good, position) = self.good.get(from)?;
        let same = constant_time::verify_slices_are_equal(good, ticket).is_ok();
        same.then_some(*position)
    }

    /// What gives the ticket of an endpoint to a client.
    pub(super) fn field(&self, position: usize, https: bool) -> Option<&HeaderValue> {
        Some(&self.fields.get(position)?[usize::from(https)])
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::testing::resolve;
    use wiregate_sdk::value::{decode, read};

    use super::*;
    use crate::upstream::testing::endpoints;

    fn sticky(upstream: &str, secret: &str) -> Sticky {
        let text = format!("cookie: at\nsecret: {secret}\nmax_age: 1h\n");
        let mut value = read(&"test.yaml".into(), &text).unwrap();
        resolve(&mut value);
        Sticky::new(upstream, &decode(&value).unwrap())
    }

    fn asking(cookies: &[&str]) -> RequestHead {
        let mut head = wiregate_sdk::testing::request_head("GET", "/");
        for cookie in cookies {
            head.headers.append("cookie", cookie.parse().unwrap());
        }
        head
    }

    fn cookie_of(field: &HeaderValue) -> String {
        field
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    const SECRET: &str = "\"${env:0123456789abcdef}\"";
    const OTHER: &str = "\"${env:fedcba9876543210}\"";

    #[test]
    fn a_ticket_leads_back_and_a_foreign_one_nowhere() {
        let endpoints = endpoints(3);
        let own = sticky("app", SECRET);
        let tickets = Tickets::new(Some(&own), &endpoints);
        for position in 0..3 {
            let cookie = cookie_of(tickets.field(position, false).unwrap());
            let ticket = own.ticket(&asking(&["a=1; b=2", &format!("x=y;{cookie}")]));
            assert_eq!(tickets.position(&ticket.unwrap()), Some(position));
        }
        for foreign in [sticky("other", SECRET), sticky("app", OTHER)] {
            let others = Tickets::new(Some(&foreign), &endpoints);
            let cookie = cookie_of(others.field(0, false).unwrap());
            let ticket = own.ticket(&asking(&[&cookie])).unwrap();
            assert_eq!(tickets.position(&ticket), None);
        }
        for forged in [
            "at=",
            "at=AAAA",
            "at",
            "bat=1",
            &format!("at={}", "*".repeat(43)),
        ] {
            assert!(own.ticket(&asking(&[forged])).is_none(), "{forged}");
        }
        let zeros = own.ticket(&asking(&[&format!("at={}", "A".repeat(43))]));
        assert_eq!(tickets.position(&zeros.unwrap()), None);
    }

    #[test]
    fn a_former_secret_is_believed_and_signs_no_more() {
        let endpoints = endpoints(2);
        let old = Tickets::new(Some(&sticky("app", OTHER)), &endpoints);
        let both = sticky("app", &format!("[{SECRET}, {OTHER}]"));
        let tickets = Tickets::new(Some(&both), &endpoints);
        let cookie = cookie_of(old.field(1, false).unwrap());
        let ticket = both.ticket(&asking(&[&cookie])).unwrap();
        assert_eq!(tickets.position(&ticket), Some(1));
        assert_ne!(tickets.field(1, false), old.field(1, false));
    }

    #[test]
    fn a_cookie_has_its_attributes() {
        let tickets = Tickets::new(Some(&sticky("app", SECRET)), &endpoints(1));
        let field = tickets.field(0, false).unwrap().to_str().unwrap();
        let (_, attributes) = field.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
        let secure = tickets.field(0, true).unwrap().to_str().unwrap();
        assert_eq!(secure, format!("{field}; Secure"));
    }

    #[test]
    fn endpoints_see_all_cookies_but_this_one() {
        let sticky = sticky("app", SECRET);
        for (before, after) in [
            (&["a=1; at=x; b=2"][..], Some("a=1; b=2")),
            (&["at=x", "b=2"], Some("b=2")),
            (&["at=x"], None),
            (&["bat=1"], Some("bat=1")),
            (&[], None),
        ] {
            let mut head = asking(before);
            sticky.hide(&mut head);
            let left = head
                .headers
                .get("cookie")
                .map(|value| value.to_str().unwrap());
            assert_eq!(left, after);
        }
    }
}
