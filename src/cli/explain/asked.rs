//! A request as it is written on a command line.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, Uri, header};
use pingora_http::RequestHeader;
use uuid::Uuid;
use wiregate_sdk::{Client, Clock, Exchange};

/// A request that nobody has sent.
pub(super) struct Asked {
    pub(super) head: RequestHeader,
    pub(super) exchange: Exchange,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// What of it is no part of a request.
    pub(super) fn read(
        method: &str,
        url: &str,
        fields: &[String],
        client: IpAddr,
    ) -> Result<Self, String> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("expected a method, found `{method}`"))?;
        let (scheme, authority, target) = split(url)?;
        let mut head = RequestHeader::build(method, target.as_bytes(), None)
            .map_err(|_| format!("expected a URL or a path, found `{url}`"))?;
        for field in fields {
            let (name, value) = parse(field)?;
            let appended = head.append_header(name, value);
            appended.map_err(|_| format!("expected `name: value`, found `{field}`"))?;
        }
        if let Some(authority) = authority
            && !head.headers.contains_key(header::HOST)
        {
            head.insert_header(header::HOST, authority)
                .map_err(|_| format!("expected a host, found `{authority}`"))?;
        }
        let client = Client {
            address: client,
            peer: client,
            port: 0,
            scheme,
            tls: None,
        };
        let id = Uuid::nil().to_string().into();
        let exchange = Exchange::new(id, Clock::default().now(), client, &head);
        Ok(Self { head, exchange })
    }

    /// Puts the normalised path into the head, as the gateway does before it looks for a route.
    ///
    /// # Errors
    /// That no request can have it.
    pub(super) fn normalise(&mut self, path: &str) -> Result<(), String> {
        if path == self.head.uri.path() {
            return Ok(());
        }
        let target = match self.head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let target = Uri::try_from(target).map_err(|_| "the path is not valid".to_owned())?;
        self.head.set_uri(target);
        Ok(())
    }
}

/// Scheme, authority and the rest of a URL, without its fragment, which no client sends. The rest
/// stays as it is: what the gateway makes of it is the question.
fn split(url: &str) -> Result<(&'static str, Option<&str>, Cow<'_, str>), String> {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    if url.starts_with('/') || url == "*" {
        return Ok(("http", None, url.into()));
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        _ => {
            let expected = "`http://host/path`, `https://…` or a path that begins with `/`";
            return Err(format!("expected {expected}, found `{url}`"));
        }
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    if host.is_empty() {
        return Err(format!("expected a host in `{url}`"));
    }
    // Clients send a path in any case (RFC 9112, 3.2.1).
    let target = if target.starts_with('/') {
        target.into()
    } else {
        format!("/{target}").into()
    };
    Ok((scheme, Some(host), target))
}

fn parse(field: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = field.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
        Some((name, value))
    });
    parsed.ok_or_else(|| format!("expected `name: value`, found `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, fields: &[&str]) -> Result<Asked, String> {
        let fields: Vec<String> = fields.iter().map(|&field| field.into()).collect();
        Asked::read("GET", url, &fields, [127, 0, 0, 1].into())
    }

    #[test]
    fn takes_urls_and_paths_as_they_are() {
        for (url, scheme, host, path, query) in [
            ("/a/../b//c?x=1", "http", None, "/a/../b//c", Some("x=1")),
            ("*", "http", None, "*", None),
            ("http://a.example", "http", Some("a.example"), "/", None),
            (
                "http://a.example?x",
                "http",
                Some("a.example"),
                "/",
                Some("x"),
            ),
            (
                "HTTPS://u:p@A:81/%2e#f",
                "https",
                Some("A:81"),
                "/%2e",
                None,
            ),
            (
                "http://[::1]:8080/a",
                "http",
                Some("[::1]:8080"),
                "/a",
                None,
            ),
        ] {
            let asked = read(url, &[]).unwrap_or_else(|error| panic!("{url}: {error}"));
            let found = asked.head.headers.get(header::HOST);
            assert_eq!(found.map(|host| host.to_str().unwrap()), host, "{url}");
            assert_eq!(asked.exchange.client.scheme, scheme, "{url}");
            assert_eq!(asked.head.uri.path(), path, "{url}");
            assert_eq!(asked.head.uri.query(), query, "{url}");
        }
    }

    #[test]
    fn a_host_field_goes_before_the_urls() {
        let asked = read("http://a.example/", &["Host: b.example", "x-a:1", "x-a: 2"]).unwrap();
        let values = |name: &str| -> Vec<_> { asked.head.headers.get_all(name).iter().collect() };
        assert_eq!(values("host"), ["b.example"]);
        assert_eq!(values("x-a"), ["1", "2"]);
    }

    #[test]
    fn refuses_what_is_no_request() {
        for (url, fields, said) in [
            ("a.example/b", &[][..], "expected `http://host/path`"),
            ("ftp://a.example/", &[], "expected `http://host/path`"),
            ("http:///a", &[], "expected a host"),
            (
                "/",
                &["no colon"],
                "expected `name: value`, found `no colon`",
            ),
            ("/", &["b d: 1"], "expected `name: value`"),
            ("/", &["a: b\r\nc: d"], "expected `name: value`"),
        ] {
            let error = read(url, fields)
                .err()
                .unwrap_or_else(|| panic!("{url} was taken"));
            assert!(error.contains(said), "{error}");
        }
        let odd = Asked::read("G T", "/", &[], [127, 0, 0, 1].into());
        assert_eq!(odd.err().unwrap(), "expected a method, found `G T`");
    }
}
