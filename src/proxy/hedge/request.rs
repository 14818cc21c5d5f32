//! The head that an endpoint gets in a race, as Pingora makes it elsewhere.

use http::{HeaderValue, Uri, Version, header, request};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::authority::validate_request_authority;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::super::context::Context;
use super::super::heads;

impl Context {
    /// The head for an endpoint that speaks this version.
    ///
    /// # Errors
    /// What a filter replied, or made of it.
    pub(in crate::proxy) fn head_for_endpoint(
        &mut self,
        session: &ServerSession,
        http2: bool,
        tls: bool,
    ) -> Result<Box<RequestHeader>> {
        let mut head = session.req_header().clone();
        heads::drop_for_one_hop(&mut head);
        self.ask_for_all(&mut head);
        if http2 {
            head.set_version(Version::HTTP_2);
            self.forward(session, &mut head)?;
            return for_http2(head, tls).map_err(|error| error.into_in());
        }
        head.set_version(Version::HTTP_11);
        name_host(&mut head)?;
        self.forward(session, &mut head)?;
        name_host(&mut head)?; // a filter may have taken it out
        validate_request_authority(&head).map_err(|error| error.into_in())?;
        Ok(Box::new(head))
    }
}

/// HTTP/1.1 has the host in a field (RFC 9112, 3.2).
fn name_host(head: &mut RequestHeader) -> Result<()> {
    if head.headers.contains_key(header::HOST) {
        return Ok(());
    }
    let host = head.uri.authority().map_or("", |host| host.as_str());
    let host = HeaderValue::from_str(host)
        .or_err(ErrorType::InvalidHTTPHeader, "no authority for `host`")?;
    head.insert_header(header::HOST, host)
}

/// HTTP/2 has the host in the target (RFC 9113, 8.3.1).
fn for_http2(mut head: RequestHeader, tls: bool) -> Result<Box<RequestHeader>> {
    let bad = |what: &'static str| Error::explain(ErrorType::InvalidHTTPHeader, what);
    let host = head.remove_header(&header::HOST);
    let host = match &host {
        Some(host) => host.as_bytes(),
        None => {
            let host = head.uri.authority().map(|host| host.as_str().as_bytes());
            host.ok_or_else(|| bad("no authority for HTTP/2"))?
        }
    };
    if host.contains(&b'@') {
        return Err(bad("userinfo in the authority"));
    }
    let path = head.uri.path_and_query();
    let path = path.map_or("/", |path| path.as_str()).to_owned();
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(host)
        .path_and_query(path)
        .build();
    head.set_uri(uri.or_err(ErrorType::InvalidHTTPHeader, "no target for HTTP/2")?);
    let parts: request::Parts = head.into();
    Ok(Box::new(RequestHeader::from(parts)))
}
