//! `template`: makes whole bodies.

mod body;
mod form;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use wiregate_sdk::types::{MediaType, Size};
use wiregate_sdk::{
    Attempt, Build, Bytes, Condition, Deserialize, Filter, Flow, Invalid, JsonSchema, Reply,
    Request, Response, StatusCode,
};

use super::json::entity::Side;
use super::workers::Workers;
use super::{ranges, sides};
use body::Body;

/// Makes the whole body of a request or a response from a template in Jinja (`{{ … }}`, `{% … %}`).
///
/// What kind of body it is says how values are written into it, so that none can become a tag or a
/// member: in `html` and `xml` they are escaped; in `json` each is written as JSON, quotes
/// included (`{"name": {{ identity.name }}}`), and what comes out is checked to be JSON; in `text`
/// they stand as they are. There is no way to switch that off (`safe`, `autoescape`); what `tojson` makes is escaped
/// like all else, so it belongs into an attribute rather than a `<script>`.
///
/// A template finds these values, as expressions do: `request` (`method`, `scheme`, `host`, `path`,
/// `target`, `id`, `time`, `query.…`, `headers["…"]`, `cookies.…`), `client` (`address`, `peer`,
/// `port`), `route`, `params.…`, `identity` (`name`, `by`, `plan`, `groups`, `scopes`, `claims.…`),
/// for responses `response` (`status`, `headers["…"]`), and `body`: the body whose place it takes, as a value
/// where that is JSON, and as text where it is text; of any other media type, and where there is none, it is empty, so
/// that a template that needs one wants a `when`. What is not there is empty, and no error.
/// Integers beyond 64 bits and decimals in `body` are floating-point numbers.
///
/// ```yaml
/// - template:
///     response:
///       when: response.status == 404
///       html: "<h1>{{ request.path }} is not here</h1>"
/// - template:
///     request:
///       xml: |
///         <order by="{{ identity.name }}">
///         {%- for item in body.items %}<item id="{{ item.id }}"/>{% endfor -%}
///         </order>
/// - template:
///     response: { json: '{"items": {{ body.data }}, "route": {{ route }}}' }
/// ```
///
/// A body is read whole before another one takes its place, up to `limits.buffered_body`; a larger
/// response becomes a 502, a larger request a 413. Where the template asks for `body`, a coding is
/// undone first; the new body has none. `Content-Type` is that of the kind; `ETag`,
/// `Last-Modified`, checksums and `Accept-Ranges`, which tell of the body that was, go. Responses to
/// HEAD, with 204, 205 and 304, and upgraded connections are left alone.
///
/// Nobody gets around a template by asking for a part: `Range` does not reach the upstream, and a part (206) that
/// comes nevertheless becomes a 502 with the reason `partial_body`. Where `when` asks for nothing but
/// `response.status`, and holds neither for 200 nor for 206, parts are left alone.
///
/// `${` begins a reference of the configuration here as elsewhere: where the text is to have one, as JavaScript has, write
/// `$${`. Templates are compiled at load: unknown names, filters and tests are errors then, but for the names of params, claims and fields; so is one that asks for no value and fails. A run is
/// bounded: `output`, and 100,000 steps with one more for each 16 bytes of `output`, where 64 bytes that are read or made count
/// as a step, too. Where it fails, the answer is a 500 with the reason
/// `template_failed`; where `body` is asked for and is not what its media type says, a 400, or a
/// 502 for a response, with the reason `invalid_json`.
///
/// | what happens | what the client gets |
/// |---|---|
/// | `body` is asked for, and is not what its media type says | 400 for a request, 502 for a response, reason `invalid_json` |
/// | a body is too large | 413 for a request, reason `body_too_large`; 502 for a response, reason `response_too_large` |
/// | the upstream sends a part | 502, reason `partial_body` |
/// | the template or `when` fails, or the body would be larger than `output` | 500, reason `template_failed` |
/// | more bodies wait to be worked on than there is room for | 503 with `Retry-After: 1`, reason `bodies_busy` |
/// | the work on one takes too long | 503 with `Retry-After: 1`, reason `body_late` |
///
/// [A whole configuration](../../examples/json.yaml) is among the examples.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// The body that goes to the upstream.
    #[serde(default)]
    request: Option<Made>,
    /// The body that goes to the client.
    #[serde(default)]
    response: Option<Made>,
}

/// A body, as exactly one of the kinds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "TemplateBody")]
struct Made {
    /// A condition; always when absent.
    #[serde(default)]
    when: Option<Condition>,
    /// A template of JSON.
    #[serde(default)]
    json: Option<String>,
    /// A template of HTML.
    #[serde(default)]
    html: Option<String>,
    /// A template of XML.
    #[serde(default)]
    xml: Option<String>,
    /// A template of plain text.
    #[serde(default)]
    text: Option<String>,
    /// The media type; when absent, `application/json`, `text/html; charset=utf-8`,
    /// `application/xml` or `text/plain; charset=utf-8`.
    #[serde(default)]
    content_type: Option<MediaType>,
    /// How large the body that is made may be.
    #[serde(default = "one_mib")]
    output: Size,
}

fn one_mib() -> Size {
    Size::mib(1)
}

/// The running form of `template`.
pub struct Template {
    request: Option<Arc<Body>>,
    response: Option<Arc<Body>>,
    workers: Arc<Workers>,
}

impl Filter for Template {
    const NAME: &'static str = "template";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let body = |made, at| Body::new(made, at).map(Arc::new);
        let (request, response) = sides::build(config.request, config.response, body)?;
        let workers = cx.share("transform workers", Workers::new);
        Ok(Self {
            request,
            response,
            workers,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let Some(body) = &self.request else {
            return Ok(());
        };
        if !body.holds(&req.facts())? {
            return Ok(());
        }
        let old = match body.asks_for_body() {
            true => req.body().await?,
            false => Bytes::new(),
        };
        let values = body.values(&req.facts())?;
        let job = body.job(Side::Request, old, req.headers(), values);
        let made = job.run(&self.workers).await?;
        body.describe(&mut req.headers_mut());
        req.set_body(made);
        Ok(())
    }

    fn upstream(&self, attempt: &mut Attempt<'_>, (): &mut ()) {
        if let Some(body) = &self.response {
            ranges::ask_for_the_whole(attempt, body.when());
        }
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        let Some(body) = &self.response else {
            return;
        };
        let status = res.status();
        let is_other = status.is_informational()
            || matches!(
                status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
            );
        // Where the condition has no value, that is told once the body is there.
        if is_other || matches!(body.holds(&res.facts()), Ok(false)) {
            return;
        }
        res.whole_body();
        if !res.may_have_body() {
            body.describe(&mut res.headers_mut()); // as with GET
        }
    }

    async fn response_whole(
        &self,
        res: &mut Response<'_>,
        old: Bytes,
        (): &mut (),
    ) -> Result<Bytes, Reply> {
        let Some(body) = &self.response else {
            return Ok(old);
        };
        body.holds(&res.facts())?;
        if res.status() == StatusCode::PARTIAL_CONTENT {
            return Err(
                Side::Response.refuse("partial_body", "expected a whole body, found a part")
            );
        }
        let values = body.values(&res.facts())?;
        let job = body.job(Side::Response, old, res.headers(), values);
        let made = job.run(&self.workers).await?;
        body.describe(&mut res.headers_mut());
        Ok(made)
    }
}
