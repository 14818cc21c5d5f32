//! `cors`: tells browsers which other origins' pages may use a route.

mod origin;
#[cfg(test)]
mod tests;
mod words;

use wiregate_sdk::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use wiregate_sdk::preflight::asked_method;
use wiregate_sdk::types::{OneOrMany, Period};
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderMap, HeaderName, HeaderValue, Invalid, JsonSchema,
    Method, Reply, Request, Response, StatusCode,
};

use origin::{Origins, Pattern};
use words::{Allowed, Word, list};

const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
/// The response fields of the protocol, which are this filter's.
const OWN: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE_NETWORK,
];
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// What the answer to a preflight depends on.
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers, \
     access-control-request-private-network",
);

/// Tells browsers which other origins' pages may use a route (the CORS protocol of the Fetch
/// standard).
///
/// Put it before the filters that authenticate. A preflight (`OPTIONS` with `Origin` and
/// `Access-Control-Request-Method`) is answered here with a 204, without credentials and without
/// an upstream. Where the route has `methods`, it takes the preflights that ask for one of them;
/// `OPTIONS` need not be among them. Every other request goes on, and its response gets the fields
/// that the browser looks for, also where a later filter or the gateway itself made it: a page can
/// read a 401 or 502. Fields of the protocol that the upstream sends itself are removed.
///
/// This is no access check: it is the browser that keeps pages out. A request from an origin that
/// is not listed goes on and its response gets no fields; only a preflight from there is answered
/// with a 403 with the reason `cors_denied`, which shows in logs and metrics and which browsers
/// take like any other answer without the fields. A method or a field that is not listed is the
/// browser's to refuse: the answer to the preflight tells it, and its console says so.
///
/// `Vary` says what a response depends on, so that caches keep them apart. With `origins: "*"`
/// nothing depends on the origin, and every response is the same.
///
/// ```yaml
/// - cors: { origins: "https://app.example.com", credentials: true }
/// - cors:
///     origins: ["https://*.example.com", "http://localhost:*"]
///     methods: [GET, PUT, DELETE]
///     headers: [authorization, content-type]
///     expose: x-request-id
///     max_age: 1h
/// - cors: { origins: "*", methods: "*", headers: "*", expose: "*" }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// Origins whose pages may use the route: `https://app.example.com`; all hosts below a
    /// domain, at any depth, but not the domain itself: `https://*.example.com`; any port:
    /// `http://localhost:*`; or, alone, `*` for all. `null` is refused: any page can send it.
    origins: OneOrMany<Pattern>,
    /// Methods that a page may use, or `*` for any; `GET`, `HEAD` and `POST` when absent.
    /// Browsers allow these three in any case.
    #[serde(default)]
    methods: Option<OneOrMany<Word<Method>>>,
    /// Request fields that a page may set, or `*` for any, `authorization` among them; none when
    /// absent, beyond those that browsers allow in any case (such as `accept`, and `content-type`
    /// for what an HTML form can send).
    #[serde(default)]
    headers: Option<OneOrMany<Word<HeaderName>>>,
    /// Response fields that a page may read, or `*` for all; none when absent, beyond those that
    /// browsers show in any case (such as `cache-control` and `content-type`).
    #[serde(default)]
    expose: Option<OneOrMany<Word<HeaderName>>>,
    /// How long a browser may keep the answer to a preflight, in whole seconds. Browsers have
    /// bounds of their own: two hours in Chromium, a day in Firefox.
    #[serde(default = "ten_minutes")]
    max_age: Period,
    /// Whether pages may send cookies, client certificates and HTTP authentication, and read what
    /// comes back; `false` when absent. Not with `*` in `origins` or `expose`, nor with all hosts
    /// below a top-level domain.
    #[serde(default)]
    credentials: bool,
    /// Whether pages of public sites may reach this route where the gateway is in a private
    /// network (Private Network Access); `false` when absent.
    #[serde(default)]
    private_network: bool,
}

fn ten_minutes() -> Period {
    Period::seconds(600)
}

/// The running form of `cors`.
pub struct Cors {
    origins: Origins,
    methods: Allowed,
    headers: Allowed,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
    credentials: bool,
    private_network: bool,
}

/// What the response to a request will need.
#[derive(Default)]
pub struct State {
    allow_origin: Option<HeaderValue>,
    preflight: bool,
}

impl Filter for Cors {
    const NAME: &'static str = "cors";
    const PREFLIGHTS: bool = true;
    type Config = Config;
    type State = State;

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        cx.adds_fields(1); // `vary`, or the origin where it is any
        let mut invalid = Invalid::default();
        config.check_origins(&mut invalid);
        let methods = list("methods", config.methods, &mut invalid);
        let headers = list("headers", config.headers, &mut invalid);
        let expose = match list("expose", config.expose, &mut invalid) {
            Allowed::Asked if config.credentials => {
                let message = "expected the fields by name, found `*`, which browsers do not take \
                               for all where there are credentials";
                invalid.and(Invalid::at("expose", message));
                None
            }
            Allowed::Asked => Some(ANY),
            Allowed::Listed(names) => names,
        };
        if config.max_age.subsec_nanos() != 0 {
            let message = format!("expected whole seconds, found `{}`", config.max_age);
            invalid.and(Invalid::at("max_age", message));
        }
        invalid.into_result()?;
        Ok(Self {
            origins: Origins::new(&config.origins),
            methods: match methods {
                Allowed::Listed(None) => {
                    Allowed::Listed(Some(HeaderValue::from_static("GET, HEAD, POST")))
                }
                methods => methods,
            },
            headers,
            expose,
            max_age: config.max_age.as_secs().into(),
            credentials: config.credentials,
            private_network: config.private_network,
        })
    }

    async fn request(&self, req: &mut Request<'_>, state: &mut State) -> Flow {
        let asked = req.headers();
        state.allow_origin = self.origins.allow(asked);
        state.preflight = asked_method(req.head()).is_some();
        if !state.preflight {
            return Ok(());
        }
        let reply = match state.allow_origin.take() {
            Some(allow_origin) => self.allow(asked, allow_origin),
            None => Reply::problem(StatusCode::FORBIDDEN, "cors_denied")
                .detail("pages of this origin may not use this resource"),
        };
        Err(reply.header(VARY, PREFLIGHT_VARY))
    }

    fn response(&self, res: &mut Response<'_>, state: &mut State) {
        if state.preflight {
            return;
        }
        let mut headers = res.headers_mut();
        let mut names = headers.map().keys();
        if names.any(|name| name.as_str().starts_with("access-control-")) {
            for name in &OWN {
                headers.remove(name);
            }
        }
        if let Origins::Listed { .. } = self.origins {
            headers.vary(&ORIGIN);
        }
        // It may run again, where a filter before it panics over this response.
        let Some(allow_origin) = state.allow_origin.clone() else {
            return;
        };
        headers.set(&ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
        if self.credentials {
            headers.set(&ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(expose) = &self.expose {
            headers.set(&ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

impl Cors {
    /// The answer to a preflight from an origin that is allowed.
    fn allow(&self, asked: &HeaderMap, allow_origin: HeaderValue) -> Reply {
        let mut reply = Reply::new(StatusCode::NO_CONTENT)
            .header(ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin)
            .header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        for (allowed, asked_for, name) in [
            (
                &self.methods,
                ACCESS_CONTROL_REQUEST_METHOD,
                ACCESS_CONTROL_ALLOW_METHODS,
            ),
            (
                &self.headers,
                ACCESS_CONTROL_REQUEST_HEADERS,
                ACCESS_CONTROL_ALLOW_HEADERS,
            ),
        ] {
            match allowed {
                Allowed::Asked => {
                    for value in asked.get_all(asked_for) {
                        reply = reply.header(name.clone(), value.clone());
                    }
                }
                Allowed::Listed(Some(value)) => reply = reply.header(name, value.clone()),
                Allowed::Listed(None) => {}
            }
        }
        if self.credentials {
            reply = reply.header(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        let private = asked
            .get(REQUEST_PRIVATE_NETWORK)
            .is_some_and(|value| value == TRUE);
        if private && self.private_network {
            reply = reply.header(ALLOW_PRIVATE_NETWORK, TRUE);
        }
        reply
    }
}

impl Config {
    fn check_origins(&self, invalid: &mut Invalid) {
        for (position, origin) in self.origins.iter().enumerate() {
            let message = match origin {
                Pattern::Any if self.credentials => {
                    "expected the origins by name, as `credentials` are allowed, found `*`"
                }
                Pattern::Any if self.origins.len() > 1 => {
                    "expected `*` alone, as it means the other origins too"
                }
                Pattern::Wild(wild) if self.credentials && wild.is_boundless() => {
                    "expected a domain of your own after `*.`, as `credentials` are allowed, \
                     found a top-level one"
                }
                _ => continue,
            };
            invalid.and(Invalid::at(format!("origins[{position}]"), message));
        }
    }
}
