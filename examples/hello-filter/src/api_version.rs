//! `api_version`: settles which version of an API a request is for.

use wiregate_sdk::header::ACCEPT;
use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderName, HeaderValue, Invalid, JsonSchema, Reply, Request,
    Response, StatusCode,
};

const VERSION: HeaderName = HeaderName::from_static("x-api-version");

/// Settles which version of an API a request is for.
///
/// A request names it in `X-Api-Version`, or in `Accept` (`application/json; version=2`). The
/// upstream gets it in `X-Api-Version`, and so does the client with the response. A version that
/// there is not gets a 400 with the reason `unknown_api_version`.
///
/// ```yaml
/// - api_version: { known: [1, 2], default: 1 }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// The versions that there are.
    known: OneOrMany<String>,
    /// The version of requests that name none; they are refused when absent.
    #[serde(default)]
    default: Option<String>,
}

/// The running form of `api_version`.
pub struct ApiVersion {
    known: Vec<HeaderValue>,
    default: Option<HeaderValue>,
    refusal: Reply,
}

impl Filter for ApiVersion {
    const NAME: &'static str = "api_version";
    type Config = Config;
    type State = Option<HeaderValue>;

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let mut known = Vec::new();
        for (position, version) in config.known.iter().enumerate() {
            known.push(HeaderValue::from_str(version).map_err(|_| {
                let message = format!("expected a version such as `2`, found `{version}`");
                Invalid::at(format!("known[{position}]"), message)
            })?);
        }
        let default = match &config.default {
            None => None,
            Some(default) => Some(find(&known, default).ok_or_else(|| {
                let message = format!("expected one of the `known` versions, found `{default}`");
                Invalid::at("default", message)
            })?),
        };
        let refusal = Reply::problem(StatusCode::BAD_REQUEST, "unknown_api_version")
            .detail("the request does not name a version of this API that there is")
            .member("known", config.known.into_vec());
        Ok(Self {
            known,
            default,
            refusal,
        })
    }

    async fn request(&self, req: &mut Request<'_>, state: &mut Option<HeaderValue>) -> Flow {
        let named = (req.header(&VERSION)).or_else(|| version_of(req.header(&ACCEPT)?));
        let version = match named {
            Some(named) => find(&self.known, named),
            None => self.default.clone(),
        };
        let version = version.ok_or_else(|| self.refusal.clone())?;
        req.headers_mut().set(&VERSION, version.clone());
        *state = Some(version);
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, state: &mut Option<HeaderValue>) {
        let mut headers = res.headers_mut();
        headers.vary(&VERSION);
        headers.vary(&ACCEPT);
        if let Some(version) = state.take() {
            headers.set(&VERSION, version);
        }
    }
}

fn find(known: &[HeaderValue], version: &str) -> Option<HeaderValue> {
    known.iter().find(|known| *known == version).cloned()
}

/// The parameter `version` of the first media type of an `Accept` that has one.
fn version_of(accept: &str) -> Option<&str> {
    let parameters = accept.split([',', ';']).map(str::trim);
    parameters
        .filter_map(|text| text.strip_prefix("version="))
        .next()
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::testing::{probe, refusal};

    use super::*;

    #[tokio::test]
    async fn a_version_is_named_by_a_field_or_by_accept() {
        let filter = probe::<ApiVersion>("known: [1, 2]");
        for (name, value) in [
            ("x-api-version", "2"),
            ("accept", "text/html, application/json; version=2"),
        ] {
            let seen = filter.get("/").header(name, value).send().await;
            assert_eq!(seen.request.headers["x-api-version"], "2");
            assert_eq!(seen.header("x-api-version"), Some("2"));
            assert_eq!(seen.header("vary"), Some("x-api-version, accept"));
        }
    }

    #[tokio::test]
    async fn a_version_that_there_is_not_is_refused() {
        let filter = probe::<ApiVersion>("{ known: [1, 2], default: 2 }");
        let seen = filter.get("/").header("x-api-version", "3").send().await;
        assert_eq!(seen.status(), 400);
        assert_eq!(seen.reason(), Some("unknown_api_version"));
        assert_eq!(seen.header("x-api-version"), None);
    }

    #[tokio::test]
    async fn a_request_without_a_version_gets_the_default() {
        let filter = probe::<ApiVersion>("{ known: [1, 2], default: 2 }");
        let seen = filter.get("/").header("accept", "*/*").send().await;
        assert_eq!(seen.request.headers["x-api-version"], "2");
        let strict = probe::<ApiVersion>("known: 1");
        assert_eq!(strict.get("/").send().await.status(), 400);
    }

    #[test]
    fn says_where_options_are_wrong() {
        assert_eq!(
            refusal::<ApiVersion>("{ known: [1, 2], default: 3 }"),
            "1:27: expected one of the `known` versions, found `3`"
        );
    }
}
