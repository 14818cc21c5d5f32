//! A request as it is written on a command line.

use std::net::IpAddr;

use http::{Method, header};
use pingora_http::RequestHeader;
use uuid::Uuid;
use wiregate_sdk::{Client, Clock, Exchange};

/// A request that nobody has sent.
pub(super) struct Asked {
    pub(super) method: String,
    /// As it was written.
    pub(super) target: String,
    pub(super) client: Client,
    /// Its head, as a client would send it over HTTP/1.1.
    pub(super) bytes: Vec<u8>,
}

impl Asked {
    /// Reads a request. Whether the gateway takes it for one is another question.
    ///
    /// # Errors
    /// What of it cannot be sent.
    pub(super) fn read(
        method: &str,
        url: &str,
        fields: &[String],
        client: IpAddr,
    ) -> Result<Self, String> {
        if Method::from_bytes(method.as_bytes()).is_err() {
            return Err(format!("expected a method, found `{method}`"));
        }
        if has_breaks(url) {
            return Err("expected a URL or a path on one line".to_owned());
        }
        let (scheme, authority, target) = split(method, url)?;
        let mut lines = vec![format!("{method} {target} HTTP/1.1")];
        let named = fields.iter().any(|field| is_host(field));
        if !named {
            // An empty one means that there is none (RFC 9112, 3.2).
            lines.push(format!("host: {}", authority.unwrap_or_default()));
        }
        for field in fields {
            match field.split_once(':') {
                Some((name, value)) if !has_breaks(field) => {
                    lines.push(format!("{name}: {}", value.trim()));
                }
                _ => return Err(format!("expected `name: value`, found `{field}`")),
            }
        }
        let client = Client {
            address: client,
            peer: client,
            port: 0,
            scheme,
            tls: None,
        };
        Ok(Self {
            method: method.to_owned(),
            target,
            client,
            bytes: (lines.join("\r\n") + "\r\n\r\n").into_bytes(),
        })
    }

    /// What the gateway knows of it besides its head.
    pub(super) fn exchange(&self, head: &RequestHeader) -> Exchange {
        let id = Uuid::nil().to_string().into();
        Exchange::new(id, Clock::default().now(), self.client.clone(), head)
    }
}

fn has_breaks(text: &str) -> bool {
    text.contains(['\r', '\n'])
}

fn is_host(field: &str) -> bool {
    let name = field.split(':').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(header::HOST.as_str())
}

/// Scheme, authority and target. A URL is what clients make a request of: they keep its fragment and
/// the user in it to themselves. Anything else stays as it is: what the gateway makes of it is the
/// question.
fn split(method: &str, url: &str) -> Result<(&'static str, Option<String>, String), String> {
    let url_of = |scheme: &str| {
        let (named, rest) = url.split_once("://")?;
        named.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (scheme, rest) = match (url_of("http"), url_of("https")) {
        _ if method == Method::CONNECT.as_str() => {
            return Ok(("http", Some(url.to_owned()), url.to_owned()));
        }
        (Some(rest), _) => ("http", rest),
        (_, Some(rest)) => ("https", rest),
        _ if url.starts_with('/') || url == "*" => return Ok(("http", None, url.to_owned())),
        _ => {
            let expected = "`http://host/path`, `https://…` or a path that begins with `/`";
            return Err(format!("expected {expected}, found `{url}`"));
        }
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    if host.is_empty() {
        return Err(format!("expected a host in `{url}`"));
    }
    // Clients send a path in any case (RFC 9112, 3.2.1).
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((scheme, Some(host.to_owned()), format!("{slash}{target}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::http1::read_head;

    fn read(url: &str, fields: &[&str]) -> Result<Asked, String> {
        let fields: Vec<String> = fields.iter().map(|&field| field.into()).collect();
        Asked::read("GET", url, &fields, [127, 0, 0, 1].into())
    }

    #[test]
    fn takes_urls_and_paths_as_they_are() {
        for (url, scheme, host, path, query) in [
            ("/a/../b//c?x=1", "http", "", "/a/../b//c", Some("x=1")),
            ("http://a.example", "http", "a.example", "/", None),
            ("http://a.example?x", "http", "a.example", "/", Some("x")),
            ("HTTPS://u:p@A:81/%2e#f", "https", "A:81", "/%2e", None),
            ("http://[::1]:8080/a", "http", "[::1]:8080", "/a", None),
            ("http://a.example/é", "http", "a.example", "/é", None),
        ] {
            let asked = read(url, &[]).unwrap_or_else(|error| panic!("{url}: {error}"));
            let head = read_head(&asked.bytes, 1000).unwrap();
            assert_eq!(head.headers[header::HOST].to_str().unwrap(), host, "{url}");
            assert_eq!(asked.client.scheme, scheme, "{url}");
            assert_eq!(head.uri.path(), path, "{url}");
            assert_eq!(head.uri.query(), query, "{url}");
        }
        // What no client sends is sent all the same, where it is written so.
        assert_eq!(read("/a b#c", &[]).unwrap().target, "/a b#c");
        let tunnel = Asked::read("CONNECT", "a:443", &[], [127, 0, 0, 1].into()).unwrap();
        let text = String::from_utf8(tunnel.bytes).unwrap();
        assert_eq!(text, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n");
    }

    #[test]
    fn a_host_field_goes_before_the_urls() {
        let asked = read("http://a.example/", &["Host: b.example", "x-a:1", "x-a: 2"]).unwrap();
        let head = read_head(&asked.bytes, 1000).unwrap();
        let values = |name: &str| -> Vec<_> { head.headers.get_all(name).iter().collect() };
        assert_eq!(values("host"), ["b.example"]);
        assert_eq!(values("x-a"), ["1", "2"]);
    }

    #[test]
    fn refuses_what_cannot_be_sent() {
        for (url, fields, said) in [
            ("a.example/b", &[][..], "expected `http://host/path`"),
            ("ftp://a.example/", &[], "expected `http://host/path`"),
            ("http:///a", &[], "expected a host"),
            ("/a\r\nhost: b", &[], "expected a URL or a path on one line"),
            (
                "/",
                &["no colon"],
                "expected `name: value`, found `no colon`",
            ),
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
