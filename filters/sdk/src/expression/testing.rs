//! An exchange for the tests of expressions and templates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Facts;
use crate::testing::{request_head, response_head};
use crate::{
    Client, Consumer, Exchange, HeaderName, HeaderValue, Identity, Now, RequestHead, ResponseHead,
};

/// An exchange to ask about.
pub(crate) struct Given {
    pub(crate) request: RequestHead,
    pub(crate) exchange: Exchange,
    pub(crate) response: Option<ResponseHead>,
}

impl Given {
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            request: &self.request,
            exchange: &self.exchange,
            response: self.response.as_ref(),
        }
    }
}

/// A request from nobody in particular.
impl Default for Given {
    fn default() -> Self {
        let address = IpAddr::from([10, 1, 2, 3]);
        let request = request_head("GET", "/");
        let now = Now {
            instant: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(1_795_169_041),
        };
        let client = Client {
            address,
            peer: address,
            port: 4711,
            scheme: "https",
            tls: None,
        };
        Self {
            exchange: Exchange::new("0190".into(), now, client, &request),
            request,
            response: None,
        }
    }
}

/// One that has everything.
pub(crate) fn full() -> Given {
    let mut given = Given {
        request: request_head("POST", "/orders/7%20?a=1&b=x+y"),
        ..Given::default()
    };
    for (name, value) in [
        ("host", "API.example.com:8443"),
        ("x-tenant", "acme"),
        ("x-tenant", "second"),
        ("cookie", "theme=dark; sid=42"),
    ] {
        let name = HeaderName::from_static(name);
        (given.request.headers).append(name, HeaderValue::from_static(value));
    }
    given.exchange.target = "/x/../orders/7%20?a=1".parse().unwrap();
    given.exchange.route = "orders".into();
    given.exchange.params = vec![("id".into(), "7 ".into())];
    given.exchange.client.peer = "::ffff:192.0.2.1".parse().unwrap();
    given.exchange.identity = Some(Arc::new(Identity {
        name: "alice".into(),
        groups: Arc::from(["admin".into(), "dev".into()]),
        consumer: Some(Arc::new(Consumer {
            name: "alice".into(),
            ..Consumer::default()
        })),
        by: "jwt",
        ..Identity::default()
    }));
    let mut response = response_head(404);
    (response.headers).insert("x-cache", HeaderValue::from_static("hit"));
    given.response = Some(response);
    given
}
