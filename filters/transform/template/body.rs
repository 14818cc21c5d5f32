//! One body that a template makes.

use std::sync::Arc;
use std::time::Duration;

use minijinja::machinery::{Instruction, Instructions, get_compiled_template};
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior, Value};
use wiregate_sdk::header::{CONTENT_ENCODING, CONTENT_TYPE};
use wiregate_sdk::{
    Bytes, Condition, Facts, HeaderMap, HeaderValue, Headers, Invalid, Reply, StatusCode,
};

use super::super::bounded::Bounded;
use super::Made;
use super::form::{self, Form};
use super::values::{Roots, Values};
use crate::transform::json::entity::{Side, forget_the_other_body};
use crate::transform::json::plain::Plain;
use crate::transform::json::scan;
use crate::transform::sides;
use crate::transform::workers::Workers;

/// How many steps a run may take, and the bytes of `output` for which there is one more each. minijinja counts what is
/// made and read in steps as well: one for 64 bytes.
const STEPS: u64 = 100_000;
const BYTES_A_STEP: usize = 16;
/// How many steps a worker takes itself: what needs more is begun anew beside the traffic.
const QUICK_STEPS: u64 = 5_000;
/// How deep macros may call each other.
const DEEPEST: usize = 40;
/// How long a template may be, in bytes.
const LONGEST: usize = 256 * 1024;
/// Bodies up to this size are read by the worker itself; with a coding, they are larger without it.
const SMALL: usize = 64 * 1024;
const SMALL_CODED: usize = 4 * 1024;
/// How long it may take to read a larger one and to make another.
const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "template";

/// What makes a body.
pub(super) struct Body {
    when: Option<Condition>,
    form: Form,
    content_type: HeaderValue,
    output: usize,
    roots: Roots,
    environment: Environment<'static>,
    /// The same with few steps.
    quick: Environment<'static>,
}

/// What is to be done for one exchange.
pub(super) struct Job {
    body: Arc<Body>,
    side: Side,
    /// The fields that say what the old body is.
    headers: HeaderMap,
    old: Bytes,
    values: Values,
}

impl Body {
    /// Compiles what was written below `at`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(made: Made, at: &str) -> Result<Self, Invalid> {
        sides::check_when(made.when.as_ref(), at)?;
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
        let output = made.output.len();
        let steps = STEPS + (output / BYTES_A_STEP) as u64;
        let environment = compile(form, source, steps).map_err(|why| Invalid::at(&place, why))?;
        let mut quick = environment.clone();
        quick.set_fuel(Some(QUICK_STEPS));
        let roots = check(&environment).map_err(|why| Invalid::at(&place, why))?;
        if at == sides::REQUEST && roots.ask_for_response() {
            let why = "`response` is not known here: there is no response yet";
            return Err(Invalid::at(&place, why));
        }
        let content_type =
            (made.content_type).map_or(form.content_type(), |media| media.header_value().clone());
        let body = Self {
            when: made.when,
            form,
            content_type,
            output,
            roots,
            environment,
            quick,
        };
        body.check_constant()
            .map_err(|why| Invalid::at(&place, why))?;
        Ok(body)
    }

    /// Whether it can be made, where it asks for nothing and so is the same for everybody.
    ///
    /// # Errors
    /// Why not.
    fn check_constant(&self) -> Result<(), String> {
        if !self.roots.are_none() {
            return Ok(());
        }
        let made = self.make(&self.environment, Values::new())?;
        made.map(drop).ok_or_else(exhausted)
    }

    /// The condition, where there is one.
    pub(super) fn when(&self) -> Option<&Condition> {
        self.when.as_ref()
    }

    /// Whether the condition holds, where there is one.
    ///
    /// # Errors
    /// A 500, where it has no value.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, Reply> {
        let tested = self.when.as_ref().map_or(Ok(true), |when| when.test(facts));
        tested.map_err(failed)
    }

    /// Whether the template asks for the body whose place another one takes.
    pub(super) fn asks_for_body(&self) -> bool {
        self.roots.body
    }

    /// The values of this exchange, without its body.
    ///
    /// # Errors
    /// A 500, where one of them cannot be told.
    pub(super) fn values(&self, facts: &Facts<'_>) -> Result<Values, Reply> {
        self.roots.values(facts).map_err(failed)
    }

    /// What is to be done for one exchange.
    pub(super) fn job(
        self: &Arc<Self>,
        side: Side,
        old: Bytes,
        headers: &HeaderMap,
        values: Values,
    ) -> Job {
        let told = [CONTENT_TYPE, CONTENT_ENCODING].into_iter();
        let told = told.filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
        Job {
            body: self.clone(),
            side,
            headers: told.collect(),
            old: if self.roots.body { old } else { Bytes::new() },
            values,
        }
    }

    /// The same as [`Self::make`], with a 500 where it fails.
    fn render(
        &self,
        environment: &Environment<'_>,
        values: Values,
    ) -> Result<Option<Bytes>, Reply> {
        self.make(environment, values).map_err(failed)
    }

    /// Makes the body; nothing where it takes more steps than this environment has.
    ///
    /// # Errors
    /// What is wrong with it.
    fn make(&self, environment: &Environment<'_>, values: Values) -> Result<Option<Bytes>, String> {
        let values = Value::from_pairs(values);
        let template = environment.get_template(NAME).expect("it was compiled");
        let mut out = Bounded::new(self.output);
        if let Err(error) = template.render_captured_to(values, &mut out) {
            return match error.kind() {
                ErrorKind::OutOfFuel => Ok(None),
                _ => Err(describe(&error)),
            };
        }
        let made = out.into_bytes();
        if self.form == Form::Json {
            scan::check(&made).map_err(|why| format!("the template makes no JSON: {why}"))?;
        }
        Ok(Some(made.into()))
    }

    /// Makes the fields right; the length is the gateway's.
    pub(super) fn describe(&self, headers: &mut Headers<'_>) {
        forget_the_other_body(headers);
        headers.remove(&CONTENT_ENCODING);
        headers.set(&CONTENT_TYPE, self.content_type.clone());
    }
}

impl Job {
    /// Makes the body: at once, or beside the traffic where it would hold that up.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn run(self, workers: &Workers) -> Result<Bytes, Reply> {
        let is_coded = self.headers.contains_key(CONTENT_ENCODING);
        let mut job = self;
        if job.old.len() <= if is_coded { SMALL_CODED } else { SMALL } {
            job.take_body()?;
            let made = job.body.render(&job.body.quick, job.values.clone())?;
            if let Some(made) = made {
                return Ok(made);
            }
        }
        workers.run(PATIENCE, move || job.make()).await?
    }

    fn make(mut self) -> Result<Bytes, Reply> {
        self.take_body()?;
        let body = &self.body;
        let made = body.render(&body.environment, self.values)?;
        made.ok_or_else(|| failed(exhausted()))
    }

    /// Reads the body, where it is asked for and was not read yet.
    fn take_body(&mut self) -> Result<(), Reply> {
        if self.body.roots.body && self.values.iter().all(|(name, _)| *name != "body") {
            self.values.push(("body", self.read()?));
        }
        Ok(())
    }

    /// The body whose place another one takes, as a value.
    fn read(&self) -> Result<Value, Reply> {
        match Plain::of(self.side, &self.old, &self.headers)? {
            Plain::Json(text) => serde_json::from_slice::<serde_json::Value>(&text)
                .map(|value| Value::from(Serde(value)))
                .map_err(|_| {
                    let why = "expected numbers that can be read";
                    self.side.refuse("invalid_json", why)
                }),
            Plain::Text(text) => Ok(Value::from(text)),
            Plain::Other => Ok(Value::UNDEFINED),
        }
    }
}

fn compile(form: Form, source: String, steps: u64) -> Result<Environment<'static>, String> {
    if source.len() > LONGEST {
        return Err(format!(
            "expected at most {LONGEST} bytes, found {}",
            source.len()
        ));
    }
    let mut environment = Environment::new();
    environment.remove_filter("safe");
    if matches!(form, Form::Html | Form::Xml) {
        environment.add_filter("tojson", tojson);
    }
    environment.set_fuel(Some(steps));
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

/// JSON that is escaped as all else is: minijinja's own leaves quotes as they are, and so can end an attribute.
fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<String, minijinja::Error> {
    let text = minijinja::filters::tojson(value, indent, options)?.to_string();
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(text)
}

/// Finds what would fail only when it is reached.
fn check(environment: &Environment<'_>) -> Result<Roots, String> {
    let template = environment.get_template(NAME).expect("it was compiled");
    let globals: Vec<_> = environment
        .globals()
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
    names.retain(|name| {
        !globals
            .iter()
            .any(|own| name.split('.').next() == Some(own))
    });
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

fn exhausted() -> String {
    "the template takes more steps than it has".into()
}

fn failed(why: String) -> Reply {
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "template_failed").log(why)
}
