//! What a response is stored under: the URL that was asked for, and whatever else decides which
//! response a request gets.

use http::{HeaderValue, header};
use pingora_proxy::Session;
use smallvec::SmallVec;
use wiregate_sdk::cache::Plan;

use super::super::context::Context;
use crate::cache::store::{Key, Store, Url};

impl Context {
    /// The key of a request. Beside its URL it has the route and the upstream, which two requests
    /// for one URL may differ in; the scheme is part of the URL; host and target as the chain has left them; what the plan
    /// adds; and whose it is, where callers do not share.
    pub(super) fn cache_key(&self, session: &Session, plan: &Plan, store: &Store) -> Key {
        let head = session.req_header();
        let upstream = self.attempts.upstream.as_ref();
        let sent_host = head.headers.get(header::HOST);
        let host = match sent_host {
            Some(sent) if Some(sent) != self.asked_host.as_ref() => sent.as_bytes(),
            _ => b"",
        };
        // Of trusted proxies only: what others say of it is gone by now.
        let told_host = head.headers.get("x-forwarded-host");
        let target = head.raw_path();
        let mut parts: SmallVec<[&[u8]; 8]> = SmallVec::new();
        parts.push(self.exchange.route.as_bytes());
        parts.push(upstream.map_or(b"", |upstream| upstream.name.as_bytes()));
        parts.push(host);
        parts.push(told_host.map_or(b"", |host| host.as_bytes()));
        parts.push(target);
        // Whether they are one's own tells apart what two filters of a route store.
        parts.push(plan.caller.as_deref().map_or(b"shared", |_| b"own"));
        parts.push(plan.caller.as_deref().unwrap_or("").as_bytes());
        parts.extend(plan.key.iter().map(|part| part.as_bytes()));
        store.key(self.public_url(), parts)
    }

    /// The URL that was asked for, normalised: what purges and the methods that change a resource go by.
    pub(super) fn public_url(&self) -> Url {
        let host = self
            .asked_host
            .as_ref()
            .map_or(&b""[..], HeaderValue::as_bytes);
        let host = String::from_utf8_lossy(host);
        let target = &self.exchange.target;
        let path = self.normal_path.as_deref().unwrap_or(target.path());
        url(self.exchange.client.scheme, &host, path, target.query())
    }

    /// The URLs that a successful unsafe request may have changed (RFC 9111, 4.4): its own, and those that the response
    /// names, if they are of the same origin.
    pub(super) fn changed_urls(&self, head: &pingora_http::ResponseHeader) -> Vec<String> {
        let own = self.public_url().as_str().to_owned();
        let Ok(base) = reqwest::Url::parse(&own) else {
            return vec![own];
        };
        let mut all = vec![own];
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let named = head
                .headers
                .get(&name)
                .and_then(|value| value.to_str().ok());
            let joined = named.and_then(|named| base.join(named).ok());
            if let Some(joined) = joined.filter(|joined| joined.origin() == base.origin()) {
                let router = &self.snapshot.router;
                all.extend(normalised(&joined, |path| {
                    router.normalise(path).ok().map(Into::into)
                }));
            }
        }
        all.dedup();
        all
    }
}

/// A URL as keys have it, out of one that somebody wrote: the path goes through this.
pub fn normalised(url: &reqwest::Url, path: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = url.host_str()?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = path(url.path())?;
    let text = self::url(url.scheme(), &host, &path, url.query());
    Some(text.as_str().to_owned())
}

/// The text of a URL. A port that is the scheme's own is left out.
fn url(scheme: &str, host: &str, path: &str, query: Option<&str>) -> Url {
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).unwrap_or(host);
    let mut text = Url::from(scheme);
    text.push("://");
    text.push_in_lower_case(host);
    text.push(path);
    if let Some(query) = query {
        text.push("?");
        text.push(query);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_form() {
        let written = |text: &str| {
            normalised(&reqwest::Url::parse(text).unwrap(), |path| {
                Some(path.to_owned())
            })
            .unwrap()
        };
        assert_eq!(
            written("HTTP://Example.COM:80/a?b=C"),
            "http://example.com/a?b=C"
        );
        assert_eq!(written("https://example.com:443"), "https://example.com/");
        assert_eq!(
            written("https://example.com:80/"),
            "https://example.com:80/"
        );
        assert_eq!(
            url("http", "Example.com:80", "/A", None).as_str(),
            "http://example.com/A"
        );
        assert_eq!(
            url("https", "[::1]:8443", "/", Some("")).as_str(),
            "https://[::1]:8443/?"
        );
    }
}
