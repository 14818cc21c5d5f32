//! `template`: makes whole bodies.

mod form;
#[cfg(test)]
mod tests;
mod values;

use std::io::{self, Write};

use minijinja::machinery::{Instruction, Instructions, get_compiled_template};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use wiregate_sdk::header::{CONTENT_ENCODING, CONTENT_TYPE};
use wiregate_sdk::types::{MediaType, Size};
use wiregate_sdk::{
    Build, Bytes, Condition, Deserialize, Facts, Filter, Flow, HeaderValue, Headers, Invalid,
    JsonSchema, Reply, Request, Response, StatusCode,
};

use super::json::entity::{Side, forget_the_other_body};
use super::json::plain::Plain;
use form::Form;
use values::Roots;

/// Makes the whole body of a request or a response from a template in Jinja (`{{ … }}`, `{% … %}`).
///
/// What kind of body it is says how values are written into it, so that none can become a tag or a
/// member: in `html` and `xml` they are escaped; in `json` each is written as JSON, quotes
/// included (`{"name": {{ identity.name }}}`), and what comes out is checked to be JSON; in `text`
/// they stand as they are. There is no way to switch that off (`safe`, `autoescape`).
///
/// A template finds these values, as expressions do: `request` (`method`, `scheme`, `host`, `path`,
/// `target`, `id`, `time`, `query.…`, `headers["…"]`, `cookies.…`), `client` (`address`, `peer`,
/// `port`), `route`, `params.…`, `identity` (`name`, `by`, `groups`, `scopes`, `claims.…`),
/// `response` (`status`, `headers["…"]`), and `body`: the body whose place it takes, as a value
/// where that is JSON, and as text where it is text. What is not there is empty, and no error.
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
/// HEAD, with 204 and 304, parts (206) and upgraded connections are left alone.
///
/// Templates are compiled at load: unknown names, filters and tests are errors then. A run is
/// bounded: 100,000 steps, and `output`. Where it fails, the answer is a 500 with the reason
/// `template_failed`; where `body` is asked for and is not what its media type says, a 400, or a
/// 502 for a response, with the reason `invalid_json`.
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

/// How many steps a run may take.
const STEPS: u64 = 100_000;
/// How deep macros may call each other.
const DEEPEST: usize = 40;
/// How long a template may be, in bytes.
const LONGEST: usize = 256 * 1024;
const NAME: &str = "template";

/// The running form of `template`.
pub struct Template {
    request: Option<Body>,
    response: Option<Body>,
}

struct Body {
    when: Option<Condition>,
    form: Form,
    content_type: HeaderValue,
    output: usize,
    roots: Roots,
    environment: Environment<'static>,
}

impl Filter for Template {
    const NAME: &'static str = "template";
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        if config.request.is_none() && config.response.is_none() {
            return Err(Invalid::new(
                "expected `request` or `response`, found neither",
            ));
        }
        let mut invalid = Invalid::default();
        let mut built = |made: Option<Made>, at| {
            let body = made.map(|made| Body::new(made, at)).transpose();
            body.unwrap_or_else(|problems| {
                invalid.and(problems);
                None
            })
        };
        let request = built(config.request, "request");
        let response = built(config.response, "response");
        invalid.into_result()?;
        Ok(Self { request, response })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let Some(body) = &self.request else {
            return Ok(());
        };
        if !body.holds(&req.facts())? {
            return Ok(());
        }
        let old = match body.roots.body {
            true => body.read(Side::Request, req.body().await?, req.headers())?,
            false => Value::UNDEFINED,
        };
        let made = body.render(&req.facts(), old)?;
        body.describe(&mut req.headers_mut());
        req.set_body(made);
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        let Some(body) = &self.response else {
            return;
        };
        let status = res.status();
        let is_other = status.is_informational()
            || matches!(
                status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
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
        let old = match body.roots.body {
            true => body.read(Side::Response, old, res.headers())?,
            false => Value::UNDEFINED,
        };
        let made = body.render(&res.facts(), old)?;
        body.describe(&mut res.headers_mut());
        Ok(made)
    }
}

impl Body {
    fn new(made: Made, at: &str) -> Result<Self, Invalid> {
        let kinds = [
            (Form::Json, made.json),
            (Form::Html, made.html),
            (Form::Xml, made.xml),
            (Form::Text, made.text),
        ];
        let mut written = (kinds.into_iter()).filter_map(|(form, source)| Some((form, source?)));
        let (Some((form, source)), None) = (written.next(), written.next()) else {
            let message = "expected one of `json`, `html`, `xml` and `text`";
            return Err(Invalid::at(at, message));
        };
        let place = format!("{at}.{}", form.name());
        let environment = compile(form, source).map_err(|why| Invalid::at(&place, why))?;
        let roots = check(&environment).map_err(|why| Invalid::at(&place, why))?;
        let content_type =
            (made.content_type).map_or(form.content_type(), |media| media.header_value().clone());
        Ok(Self {
            when: made.when,
            form,
            content_type,
            output: made.output.len(),
            roots,
            environment,
        })
    }

    fn holds(&self, facts: &Facts<'_>) -> Result<bool, Reply> {
        let tested = self.when.as_ref().map_or(Ok(true), |when| when.test(facts));
        tested.map_err(failed)
    }

    /// The body whose place another one takes, as a value.
    fn read(
        &self,
        side: Side,
        body: Bytes,
        headers: &wiregate_sdk::HeaderMap,
    ) -> Result<Value, Reply> {
        let plain = Plain::of(side, &body, headers)?;
        match plain {
            Plain::Json(text) => serde_json::from_slice::<serde_json::Value>(&text)
                .map(|value| Value::from(Serde(value)))
                .map_err(|_| side.refuse("invalid_json", "expected numbers that can be read")),
            Plain::Text(text) => Ok(Value::from(text)),
            Plain::Other => Ok(Value::UNDEFINED),
        }
    }

    fn render(&self, facts: &Facts<'_>, body: Value) -> Result<Bytes, Reply> {
        let values = self.roots.values(facts, body).map_err(failed)?;
        let template = self
            .environment
            .get_template(NAME)
            .expect("it was compiled");
        let mut out = Bounded {
            bytes: Vec::new(),
            limit: self.output,
        };
        if let Err(error) = template.render_captured_to(values, &mut out) {
            return Err(failed(describe(&error)));
        }
        if self.form == Form::Json {
            super::json::scan::check(&out.bytes)
                .map_err(|why| failed(format!("the template makes no JSON: {why}")))?;
        }
        Ok(out.bytes.into())
    }

    /// Makes the fields right; the length is the gateway's.
    fn describe(&self, headers: &mut Headers<'_>) {
        forget_the_other_body(headers);
        headers.remove(&CONTENT_ENCODING);
        headers.set(&CONTENT_TYPE, self.content_type.clone());
    }
}

fn compile(form: Form, source: String) -> Result<Environment<'static>, String> {
    if source.len() > LONGEST {
        return Err(format!(
            "expected at most {LONGEST} bytes, found {}",
            source.len()
        ));
    }
    let mut environment = Environment::new();
    environment.remove_filter("safe");
    environment.set_fuel(Some(STEPS));
    environment.set_recursion_limit(DEEPEST);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(move |_| match form {
        Form::Json => AutoEscape::Json,
        Form::Html | Form::Xml => AutoEscape::Html,
        Form::Text => AutoEscape::None,
    });
    if form == Form::Xml {
        environment.set_formatter(|out, state, value| {
            match value.as_str().and_then(form::mended_for_xml) {
                Some(mended) => minijinja::escape_formatter(out, state, &mended.into()),
                None => minijinja::escape_formatter(out, state, value),
            }
        });
    }
    environment
        .add_template_owned(NAME, source)
        .map_err(|error| describe(&error))?;
    Ok(environment)
}

/// Finds what would fail only when it is reached.
fn check(environment: &Environment<'_>) -> Result<Roots, String> {
    let template = environment.get_template(NAME).expect("it was compiled");
    let globals: Vec<_> = environment
        .globals()
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
    names.retain(|name| !globals.contains(name));
    names.sort();
    let roots = Roots::new(&names)?;
    let compiled = get_compiled_template(&template);
    check_instructions(environment, &compiled.instructions)?;
    for block in compiled.blocks.values() {
        check_instructions(environment, block)?;
    }
    Ok(roots)
}

fn check_instructions(
    environment: &Environment<'_>,
    instructions: &Instructions<'_>,
) -> Result<(), String> {
    let mut state = environment.empty_state();
    for (instruction, at) in (0..).map_while(|at| Some((instructions.get(at)?, at))) {
        let problem = match instruction {
            Instruction::ApplyFilter(name, ..) => {
                let applied = state.apply_filter(name, &[]);
                let is_unknown = applied.is_err_and(|e| e.kind() == ErrorKind::UnknownFilter);
                is_unknown.then(|| format!("unknown filter `{name}`"))
            }
            Instruction::PerformTest(name, ..) => {
                let tested = state.perform_test(name, &[]);
                let is_unknown = tested.is_err_and(|e| e.kind() == ErrorKind::UnknownTest);
                is_unknown.then(|| format!("unknown test `{name}`"))
            }
            Instruction::PushAutoEscape => {
                Some("expected no `autoescape`: the kind of the body says how to escape".into())
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let line = instructions.get_line(at).unwrap_or(1);
            return Err(format!("{problem}, in line {line} of the template"));
        }
    }
    Ok(())
}

/// What is wrong, and where. Shows nothing of the values.
fn describe(error: &minijinja::Error) -> String {
    let kind = error.kind();
    let what = match (kind, error.detail()) {
        (ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
        (ErrorKind::WriteFailure, _) => "the body is larger than `output`".to_owned(),
        _ => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("{what}, in line {line} of the template"),
        None => what,
    }
}

fn failed(why: String) -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "template_failed").log(why)
}

struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
