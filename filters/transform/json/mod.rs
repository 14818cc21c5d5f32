//! `json`: changes JSON in request and response bodies.

mod charset;
mod coding;
mod document;
mod edits;
pub(super) mod entity;
mod jq;
mod path;
pub(super) mod plain;
mod rewrite;
pub(super) mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wiregate_sdk::header::{ACCEPT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use wiregate_sdk::types::{MediaRange, OneOrMany, Pairs, Size};
use wiregate_sdk::value::Raw;
use wiregate_sdk::{
    Attempt, Build, Bytes, Condition, Deserialize, Filter, Flow, Invalid, JsonSchema, Origin,
    Reply, Request, Response, StatusCode,
};

use super::workers::Workers;
use super::{ranges, sides};
use entity::Side;
use path::Path;
use rewrite::{Meant, Rewrite};

/// Changes JSON in request and response bodies: by path, or with a jq program.
///
/// What is changed is written by path: the names of members with dots between them, `[0]` for an
/// element of an array, `[*]` for all of them, and quotes for a name that is no word
/// (`a["b.c"]`). First `remove` is done, then `rename`, `move`, `set`, and last `jq`; two `json`
/// filters in a row give any other order. All that no path leads to leaves byte for byte as it
/// came: numbers keep their digits and members their order. Of several members of one name on a
/// path, the last one counts, and the others go.
///
/// Texts in `set` are templates, escaped for JSON, and become texts; numbers, `true`, `false`,
/// `null`, lists and maps are set as they are written.
///
/// ```yaml
/// - json:
///     request:
///       set: { caller: "${identity.name}", trace.id: "${request.id}" }
///       remove: [is_admin, "items[*].discount"]
///     response:
///       rename: { user_name: name }
///       move: { data.links: links }
///       remove: debug
/// - json: { response: { when: response.status == 200, jq: "{ items: [.items[] | {id, name}] }" } }
/// - json:
///     response:
///       jq: { program: '.id = $id', args: { id: "${params.id}" }, time: 20ms }
/// ```
///
/// **Which bodies.** Those of a media type in `types`, where `when` holds; of no media type only
/// with `"*/*"`. A body with several media types, one of which is meant, is invalid: one behind a
/// comma counts, be that comma in quotes or not. An empty body is left alone, as are responses to
/// HEAD, with 204 and 304, upgraded connections, and the gateway's own problems. Responses are changed whatever `Cache-Control:
/// no-transform` says: the gateway speaks for the origin (RFC 9110, 3.7).
///
/// **Guards.** What `remove` takes out of requests is out only where the upstream reads them alike.
/// Where it takes any body for JSON, whatever the media type, say `types: "*/*"`. Names are compared
/// letter by letter: Go and ASP.NET take `Is_Admin` for `is_admin`, and Go takes `\u017f` for an `s`.
/// Before those, let pass what is known, such as `jq: "{name, email}"`, or take a name out in any case:
/// `jq: 'with_entries(select(.key | test("^i[s\u017f]_admin$"; "i") | not))'`.
///
/// **Whole bodies.** A body is read to its end before it is changed, up to `limits.buffered_body`,
/// and the head waits for it. A response that is too large becomes a 502, a request a 413: nothing
/// leaves half changed. Bodies of more than 64 KiB, and all for `jq`, are worked on beside the
/// traffic, on as many threads as there are processors; a 503 where too many wait.
///
/// **Codings.** `gzip`, `br`, `zstd` and `deflate` are undone, up to `limit`, and no body may
/// become more than `ratio` times as large (64 KiB are always allowed). A request is coded again
/// for the upstream; a response where the client takes its coding. The upstream is not offered
/// codings that cannot be undone.
///
/// **Charsets.** A body in UTF-16 or ISO-8859-1, where its media type says so, becomes UTF-8, and
/// the media type loses its `charset`, also where nothing else is changed. A byte order mark goes.
/// A body in any other charset, UTF-7 for one, is invalid, as is one whose media type names several:
/// who gets it may go by any of them.
///
/// **Fields.** With a changed body, `content-length` is right, and `etag`, `last-modified`,
/// `content-md5`, `content-digest`, `repr-digest`, `digest` and `accept-ranges` go: they tell of
/// another body (RFC 9110, 8.8; RFC 9530). Without them a client cannot ask whether its copy is
/// still good, nor for a part of it. `Range` does not reach the upstream where responses are changed,
/// whatever their media type, so that it answers with the whole; a part (206) that comes nevertheless counts as
/// invalid. It does where `when` asks for nothing but `response.status`, and holds neither for 200 nor for 206. For
/// large files that are had in parts, write a route of their own.
///
/// **Invalid bodies.** A body is invalid that has several media types, that is not JSON by the letter of RFC 8259, deeper than
/// 128 levels, in an unknown charset or coding or a broken one, or that has something else than
/// objects where `set` and `move` need them. With `invalid: refuse` it is refused with the reason
/// `invalid_json`: 400 for a request, 502 for a response. With `invalid: pass` it passes as it is.
///
/// **jq.** Programs are compiled at load; they are those of jaq, without modules, `input`, `env`,
/// `debug`, `halt`, `jn` and `yn`, an array is no index, and a definition that takes a filter cannot call itself. A
/// program must give one value. Where it ends with an error, the reason is `jq_failed` (400, 502); so it is where
/// a number has more than 1000 digits. Where a program runs longer than `time`, calls itself too deeply or makes a
/// text, or a value, larger than `output`, it is stopped: `jq_exhausted`, a 500. What cannot be interrupted, such as to
/// sort an array or to search a text with a regular expression, is weighed first, and not begun where it might
/// take longer than the time that is left.
///
/// | what happens | what the client gets |
/// |---|---|
/// | a body is invalid, with `invalid: refuse` | 400 for a request, 502 for a response, reason `invalid_json` |
/// | a body is too large, before or after | 413 for a request, reason `body_too_large`; 502 for a response, reason `response_too_large` |
/// | `when` has no value | 500, reason `json_condition_failed` |
/// | a template in `set` or `args` has no value | 500, reason `json_value_failed` |
/// | the body cannot be coded again | 500, reason `json_coding_failed` |
/// | the program ends with an error | 400 for a request, 502 for a response, reason `jq_failed` |
/// | the program is stopped | 500, reason `jq_exhausted` |
/// | more bodies wait to be worked on than there is room for | 503 with `Retry-After: 1`, reason `bodies_busy` |
/// | the work on one takes too long | 503 with `Retry-After: 1`, reason `body_late` |
///
/// [A whole configuration](../../examples/json.yaml) is among the examples.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// What to do with the bodies of requests.
    #[serde(default)]
    request: Option<Change>,
    /// What to do with the bodies of responses.
    #[serde(default)]
    response: Option<Change>,
}

/// What to do with bodies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "JsonChange")]
struct Change {
    /// A condition; all bodies of the `types` when absent.
    #[serde(default)]
    when: Option<Condition>,
    /// What to take out.
    #[serde(default)]
    remove: Option<OneOrMany<Path>>,
    /// Members that get another name: the path of one, and the name. It stays in its place.
    #[serde(default)]
    rename: Pairs<Path, String>,
    /// What to put elsewhere: from a path, to a path.
    #[serde(default, rename = "move")]
    moved: Pairs<Path, Path>,
    /// What to set, by path. Objects that are missing on the way are made.
    #[serde(default)]
    set: Pairs<Path, Raw>,
    /// A jq program, which gives the document that takes this one's place.
    #[serde(default)]
    jq: Option<jq::Config>,
    /// Media types; `application/json` and `application/*+json` when absent.
    #[serde(default)]
    types: Option<OneOrMany<MediaRange>>,
    /// What to do with an invalid body.
    #[serde(default)]
    invalid: OnInvalid,
    /// How large a body may be without its coding, as it comes and after `remove`, `rename`, `move` and
    /// `set`: what a client says may be set in as many places as another part of it has.
    #[serde(default = "usual_limit")]
    limit: Size,
    /// How many times as large as it came a body may be without its coding.
    #[serde(default = "usual_ratio")]
    #[schemars(range(min = 1, max = 10_000))]
    ratio: u16,
}

/// What to do with an invalid body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "wiregate_sdk::schemars", rename = "OnInvalidJson")]
enum OnInvalid {
    /// Answer in its place.
    #[default]
    Refuse,
    /// Let it pass as it is.
    Pass,
}

fn usual_limit() -> Size {
    Size::mib(8)
}

fn usual_ratio() -> u16 {
    100
}

/// What is wrong with a body that says of itself that it is JSON, and something else as well.
const UNCLEAR: &str = "expected one media type, found several";

/// The running form of `json`.
pub struct Json {
    request: Option<Rewrite>,
    response: Option<Rewrite>,
    workers: Arc<Workers>,
}

impl Filter for Json {
    const NAME: &'static str = "json";
    type Config = Config;
    type State = ();

    fn build(config: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        let (request, response) = sides::build(config.request, config.response, Rewrite::new)?;
        Ok(Self {
            request,
            response,
            workers: cx.share("transform workers", Workers::new),
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let Some(rewrite) = &self.request else {
            return Ok(());
        };
        let headers = req.headers();
        let has_none = match headers.get(CONTENT_LENGTH) {
            Some(length) => length == "0",
            None => {
                let is_old = req.head().version < wiregate_sdk::Version::HTTP_2;
                is_old && !headers.contains_key(TRANSFER_ENCODING)
            }
        };
        let meant = rewrite.meant(headers);
        if has_none || meant == Meant::No || !rewrite.holds(&req.facts())? {
            return Ok(());
        }
        let body = req.body().await?;
        if body.is_empty() {
            return Ok(());
        }
        if meant == Meant::Unclear {
            return rewrite.invalid(Side::Request, (), UNCLEAR);
        }
        let job = rewrite.job(Side::Request, req.headers(), req.headers(), &req.facts())?;
        if let Some(made) = rewrite.run(job, &body, &self.workers).await? {
            made.describe(&mut req.headers_mut());
            req.set_body(made.body);
        }
        Ok(())
    }

    fn upstream(&self, attempt: &mut Attempt<'_>, (): &mut ()) {
        let Some(rewrite) = &self.response else {
            return;
        };
        ranges::ask_for_the_whole(attempt, rewrite.when());
        if let Some(known) = coding::known_only(&attempt.head.headers) {
            attempt.headers_mut().set(&ACCEPT_ENCODING, known);
        }
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        let Some(rewrite) = &self.response else {
            return;
        };
        let headers = res.headers();
        let is_own_problem = res.origin == Origin::Gateway
            && res.header(&wiregate_sdk::header::CONTENT_TYPE) == Some("application/problem+json");
        let may_have_body = !res.status().is_informational()
            && !matches!(
                res.status(),
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let is_empty = headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        if !may_have_body || is_own_problem || is_empty || rewrite.meant(headers) == Meant::No {
            return;
        }
        // Where the condition has no value, that is told once the body is there.
        if let Ok(false) = rewrite.holds(&res.facts()) {
            return;
        }
        res.whole_body();
        if !res.may_have_body() {
            entity::forget_the_other_body(&mut res.headers_mut()); // as with GET
        }
    }

    async fn response_whole(
        &self,
        res: &mut Response<'_>,
        body: Bytes,
        (): &mut (),
    ) -> Result<Bytes, Reply> {
        let Some(rewrite) = self.response.as_ref().filter(|_| !body.is_empty()) else {
            return Ok(body);
        };
        rewrite.holds(&res.facts())?;
        if res.status() == StatusCode::PARTIAL_CONTENT {
            return rewrite.invalid(Side::Response, body, "expected a whole body, found a part");
        }
        if rewrite.meant(res.headers()) == Meant::Unclear {
            return rewrite.invalid(Side::Response, body, UNCLEAR);
        }
        let asked = &res.request.headers;
        let job = rewrite.job(Side::Response, res.headers(), asked, &res.facts())?;
        match rewrite.run(job, &body, &self.workers).await? {
            Some(made) => {
                made.describe(&mut res.headers_mut());
                Ok(made.body)
            }
            None => Ok(body),
        }
    }
}
