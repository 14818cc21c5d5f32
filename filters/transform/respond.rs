//! `respond`: answers in place of an upstream.

use wiregate_sdk::types::{FieldName, MediaType, Pairs, Status};
use wiregate_sdk::value::{Raw, ShortOrFull};
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderName, HeaderValue, Invalid, JsonSchema, Reply, Request,
    StatusCode, Template, header,
};

pub(super) mod text;

use super::field::FieldTemplate;
use text::{Form, Text};

/// Answers every request that reaches it, with what is written here.
///
/// A scalar is a status, or the body of a 200. `body` and header fields are templates; so is every
/// text in `json`, while numbers, `true`, `false` and `null` stay what they are. Values are
/// escaped where the body is HTML, XML or JSON, so that none of them can become a tag or a member.
/// A header field whose template has no value is left out; where an expression of the body fails,
/// the answer is a 500 with the reason `respond_failed`.
///
/// ```yaml
/// - respond: 204
/// - respond: "hello ${client.address}"
/// - respond:
///     status: 503
///     headers: { retry-after: 120 }
///     json: { error: maintenance, path: "${request.path}", retry: true }
/// - respond: { body: "<h1>${request.host}</h1>", content_type: text/html; charset=utf-8 }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<Short, Options>);

/// A status, where there are three digits, or the body of a 200.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "RespondShort")]
struct Short(#[schemars(with = "ShortSchema")] Template);

#[derive(JsonSchema)]
#[schemars(crate = "wiregate_sdk::schemars", untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum ShortSchema {
    Status(Status),
    Body(Template),
}

/// What to answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", default, deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "RespondOptions")]
struct Options {
    /// The status; 200 when absent.
    status: Option<Status>,
    /// Header fields; not `content-type`, which is an option of its own.
    headers: Pairs<FieldName, FieldTemplate>,
    /// The body as text; not beside `json`.
    body: Option<Template>,
    /// The body as a value that is written as JSON; not beside `body`.
    json: Option<Raw>,
    /// The body's media type. When absent, `text/plain; charset=utf-8`, and `application/json` for
    /// `json`.
    content_type: Option<MediaType>,
}

/// The running form of `respond`.
pub struct Respond {
    /// The status and what is the same for all requests.
    reply: Reply,
    headers: Vec<(HeaderName, FieldTemplate)>,
    body: Option<(HeaderValue, Text)>,
}

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Filter for Respond {
    const NAME: &'static str = "respond";
    const ANSWERS: bool = true;
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let Options {
            status,
            headers,
            body,
            json,
            content_type,
        } = match config.0 {
            ShortOrFull::Full(options) => options,
            ShortOrFull::Short(short) => short.options()?,
        };
        let status = status.map_or(StatusCode::OK, StatusCode::from);
        if headers
            .iter()
            .any(|(name, _)| **name == header::CONTENT_TYPE)
        {
            let message = "expected no `content-type`, which is the option `content_type`";
            return Err(Invalid::at("headers.content-type", message));
        }
        check_early(&headers, body.as_ref())?;
        let form = content_type
            .as_ref()
            .map_or(Form::Plain, |media| Form::of(media.essence()));
        let type_or = |default| {
            content_type
                .as_ref()
                .map_or(default, |media| media.header_value().clone())
        };
        let (word, body) = match (body, json) {
            (None, None) if content_type.is_some() => {
                let message = "expected a `body` or `json` of this type, found neither";
                return Err(Invalid::at("content_type", message));
            }
            (None, None) => ("", None),
            (Some(_), Some(_)) => {
                return Err(Invalid::at("json", "expected `body` or `json`, found both"));
            }
            (Some(body), None) => ("body", Some((type_or(PLAIN), Text::template(&body, form)))),
            (None, Some(Raw(json))) => ("json", Some((type_or(JSON), Text::json(&json)?))),
        };
        if body.is_some() && is_bodiless(status) {
            let message = format!("expected no body with the status {}", status.as_str());
            return Err(Invalid::at(word, message));
        }
        Ok(Self::settle(Reply::new(status), headers, body))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let facts = req.facts();
        let mut reply = self.reply.clone();
        for (name, value) in &self.headers {
            if let Some(value) = value.render(&facts) {
                reply = reply.header(name.clone(), value);
            }
        }
        Err(match &self.body {
            None => reply,
            Some((media, text)) => match text.render(&facts) {
                Ok(body) => reply.body(media.clone(), body),
                Err(why) => {
                    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "respond_failed").log(why)
                }
            },
        })
    }
}

impl Respond {
    /// Puts into the reply what no request changes.
    fn settle(
        mut reply: Reply,
        headers: Pairs<FieldName, FieldTemplate>,
        body: Option<(HeaderValue, Text)>,
    ) -> Self {
        let mut changing = Vec::new();
        for (name, value) in headers {
            match value.constant() {
                Some(constant) => reply = reply.header(name.into(), constant.clone()),
                None => changing.push((name.into(), value)),
            }
        }
        let body = match body {
            Some((media, text)) => match text.constant() {
                Some(constant) => {
                    reply = reply.body(media, constant);
                    None
                }
                None => Some((media, text)),
            },
            None => None,
        };
        Self {
            reply,
            headers: changing,
            body,
        }
    }
}

impl Short {
    fn options(self) -> Result<Options, Invalid> {
        let Self(template) = self;
        let status = template
            .constant()
            .filter(|text| text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()))
            .map(|text| text.parse::<Status>().map_err(Invalid::new))
            .transpose()?;
        Ok(Options {
            body: Some(template).filter(|_| status.is_none()),
            status,
            ..Options::default()
        })
    }
}

/// Whether fields and body can be made of the request alone.
fn check_early(
    headers: &Pairs<FieldName, FieldTemplate>,
    body: Option<&Template>,
) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    for (name, value) in headers.iter() {
        if let Err(why) = value.check(Template::check_early) {
            invalid.and(Invalid::at(format!("headers.{name}"), why));
        }
    }
    if let Some(Err(why)) = body.map(Template::check_early) {
        invalid.and(Invalid::at("body", why));
    }
    invalid.into_result()
}

/// Whether responses of a status have no body (RFC 9110, 15.3.5, 15.3.6, 15.4.5).
fn is_bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
