//! From one body to another.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use wiregate_sdk::header::{CONTENT_ENCODING, CONTENT_TYPE};
use wiregate_sdk::types::{MediaRange, OneOrMany};
use wiregate_sdk::{Bytes, Condition, Facts, HeaderMap, HeaderValue, Invalid, Reply, StatusCode};

use super::charset::{Charset, without_charset};
use super::coding::{Bounds, Coding, Undecodable, Unknown};
use super::document::Node;
use super::edits::{Edits, Unmade, Values};
use super::entity::{Made, Side};
use super::jq::{Failure, Program};
use super::{Change, OnInvalid};
use crate::transform::sides;
use crate::transform::workers::Workers;

/// Bodies up to this size, also afterwards, are worked on at once, by the worker itself.
const SMALL: usize = 64 * 1024;
/// The same for bodies with a coding, which are larger without it.
const SMALL_CODED: usize = 4 * 1024;
/// How long work on a body may take beyond what a program may.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with the bodies of one side.
pub(super) struct Rewrite {
    when: Option<Condition>,
    types: Vec<MediaRange>,
    on_invalid: OnInvalid,
    work: Arc<Work>,
}

/// The part that any thread can do.
struct Work {
    edits: Edits,
    program: Option<Arc<Program>>,
    bounds: Bounds,
}

/// All that one exchange brings to it.
pub(super) struct Job {
    side: Side,
    content_type: Option<HeaderValue>,
    charset: Result<Charset, &'static str>,
    coding: Result<Option<Coding>, Unknown>,
    /// Whether who gets the body takes its coding.
    recode: bool,
    values: Values<'static>,
    args: Vec<String>,
}

/// Whether a body is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    Yes,
    No,
    /// It has several media types, one of which is meant: who gets it may go by any of them.
    Unclear,
}

/// Why there is no other body.
#[derive(Debug)]
enum Fault {
    Invalid(Cow<'static, str>),
    TooLarge,
    Program(Failure),
    Coding,
}

impl Rewrite {
    /// Compiles what was written below `at`.
    ///
    /// # Errors
    /// Every problem with it.
    pub(super) fn new(change: Change, at: &str) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        let mut kept = |problems| invalid.and(problems);
        if let Err(problem) = sides::check_when(change.when.as_ref(), at) {
            kept(problem);
        }
        let edits = Edits::new(at, change.remove, change.rename, change.moved, change.set);
        let edits = edits.map_err(&mut kept).ok();
        let has_program = change.jq.is_some();
        let program = (change.jq).and_then(|jq| {
            let program = Program::new(jq, &format!("{at}.jq"), sides::check_template(at));
            program.map_err(&mut kept).ok()
        });
        if !has_program && edits.as_ref().is_some_and(Edits::is_empty) {
            let message = "expected something to do: `remove`, `rename`, `move`, `set` or `jq`";
            kept(Invalid::at(at, message));
        }
        if !(1..=10_000).contains(&change.ratio) {
            let message = format!("expected a ratio from 1 to 10000, found `{}`", change.ratio);
            kept(Invalid::at(format!("{at}.ratio"), message));
        }
        invalid.into_result()?;
        let usual = || {
            let usual = ["application/json", "application/*+json"];
            usual
                .map(|range| range.parse().expect("a media range"))
                .into()
        };
        Ok(Self {
            when: change.when,
            types: change.types.map_or_else(usual, OneOrMany::into_vec),
            on_invalid: change.invalid,
            work: Arc::new(Work {
                edits: edits.expect("no problem was found"),
                program,
                bounds: Bounds {
                    limit: change.limit.get(),
                    ratio: change.ratio.into(),
                },
            }),
        })
    }

    /// Whether a body with these fields is to be changed. Parameters may have any bytes in them, and do not matter.
    pub(super) fn meant(&self, headers: &HeaderMap) -> Meant {
        let lines = || headers.get_all(CONTENT_TYPE).iter();
        let mut first = lines();
        if let (Some(line), None) = (first.next(), first.next())
            && self.is_plainly_meant(line.as_bytes())
        {
            return Meant::Yes;
        }
        let (mut any, mut count) = (false, 0);
        for essence in lines().flat_map(|line| essences(line.as_bytes(), true)) {
            any |= self.contains(&String::from_utf8_lossy(essence));
            count += 1;
        }
        match (any, count) {
            (true, 1) => Meant::Yes,
            (true, _) => Meant::Unclear,
            // Who knows nothing of quotes reads a type behind each comma.
            _ if lines().any(|line| self.is_behind_comma(line.as_bytes())) => Meant::Unclear,
            // What has no type may be anything (RFC 9110, 8.3).
            (_, 0) if self.contains("application/octet-stream") => Meant::Yes,
            _ => Meant::No,
        }
    }

    /// Whether this is one type that is meant, however it is read: it has no comma.
    fn is_plainly_meant(&self, line: &[u8]) -> bool {
        !line.contains(&b',') && std::str::from_utf8(line).is_ok_and(|line| self.contains(line))
    }

    /// Whether a type that is meant stands anywhere between commas, in quotes or not.
    fn is_behind_comma(&self, line: &[u8]) -> bool {
        essences(line, false).any(|essence| {
            let essence = String::from_utf8_lossy(essence);
            self.contains(essence.trim_matches(['"', '\'', ' ', '\t']))
        })
    }

    fn contains(&self, essence: &str) -> bool {
        self.types.iter().any(|range| range.contains(essence))
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
        tested.map_err(|why| {
            Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "json_condition_failed").log(why)
        })
    }

    /// What this exchange brings: the fields of the body, those of who gets it, and values.
    ///
    /// # Errors
    /// A 500, where an expression has no value.
    pub(super) fn job(
        &self,
        side: Side,
        headers: &HeaderMap,
        taken_by: &HeaderMap,
        facts: &Facts<'_>,
    ) -> Result<Job, Reply> {
        let fail = |why: String| {
            Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "json_value_failed").log(why)
        };
        let coding = match headers.contains_key(CONTENT_ENCODING) {
            true => Coding::of(headers),
            false => Ok(None),
        };
        let recode = match (&coding, side) {
            (Ok(Some(_)), Side::Request) => true, // an upstream takes what it was sent
            (Ok(Some(coding)), Side::Response) => coding.is_taken_by(taken_by),
            _ => false,
        };
        let program = self.work.program.as_ref();
        Ok(Job {
            side,
            content_type: headers.get(CONTENT_TYPE).cloned(),
            charset: Charset::of(headers),
            coding,
            recode,
            values: self.work.edits.values(facts).map_err(fail)?,
            args: program
                .map_or(Ok(Vec::new()), |p| p.args(facts))
                .map_err(fail)?,
        })
    }

    /// Makes the other body; `None` where the body is to pass as it is.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn run(
        &self,
        job: Job,
        body: &Bytes,
        workers: &Workers,
    ) -> Result<Option<Made>, Reply> {
        let side = job.side;
        let growth = self.work.edits.growth(&job.values);
        let is_small = match &job.coding {
            Ok(Some(_)) => body.len() <= SMALL_CODED && growth == 0,
            // A value and its comma have two bytes at least.
            _ => body.len().saturating_mul(growth / 2 + 1) <= SMALL,
        };
        let made = if is_small && self.work.program.is_none() {
            self.work.run(&job, body)
        } else {
            let work = self.work.clone();
            let time = work
                .program
                .as_ref()
                .map_or(Duration::ZERO, |program| program.time());
            let body = body.clone();
            let done = workers.run(time + PATIENCE, move || work.run(&job, &body));
            done.await?
        };
        match made {
            Ok(made) => Ok(made),
            Err(Fault::Invalid(_)) if self.on_invalid == OnInvalid::Pass => Ok(None),
            Err(fault) => Err(self.refusal(side, fault)),
        }
    }

    /// What becomes of an invalid body.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn invalid<T>(&self, side: Side, body: T, why: &'static str) -> Result<T, Reply> {
        match self.on_invalid {
            OnInvalid::Pass => Ok(body),
            OnInvalid::Refuse => Err(side.refuse("invalid_json", why)),
        }
    }

    fn refusal(&self, side: Side, fault: Fault) -> Reply {
        let fault_of_ours = |reason| Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, reason);
        match fault {
            Fault::Invalid(why) => side.refuse("invalid_json", why),
            Fault::TooLarge => side.too_large(self.work.bounds.limit),
            Fault::Program(Failure::Failed(why)) => side.refuse("jq_failed", why),
            Fault::Program(Failure::Exhausted(limit)) => {
                fault_of_ours("jq_exhausted").log(format!("the program was stopped: {limit}"))
            }
            Fault::Coding => fault_of_ours("json_coding_failed"),
        }
    }
}

impl Work {
    fn run(&self, job: &Job, body: &[u8]) -> Result<Option<Made>, Fault> {
        let coding = job.coding.as_ref().map_err(|Unknown| {
            Fault::Invalid("expected one coding of gzip, br, zstd and deflate".into())
        })?;
        let plain = match coding {
            None if body.len() as u64 > self.bounds.limit => return Err(Fault::TooLarge),
            None => Cow::Borrowed(body),
            Some(coding) => Cow::Owned(coding.decode(body, self.bounds).map_err(undecodable)?),
        };
        if plain.is_empty() {
            return Ok(None);
        }
        let charset = job.charset.map_err(|why| Fault::Invalid(why.into()))?;
        let text = charset
            .decode(&plain)
            .map_err(|why| Fault::Invalid(why.into()))?;
        let document = Node::read(&text).map_err(|why| Fault::Invalid(why.into()))?;
        let made = match self.rewrite(job, &text, document)? {
            Some(made) => made,
            None if charset.is_utf8() && text.len() == plain.len() => return Ok(None),
            // Others get what was looked at here, and not what they may read in another way.
            None => text.into_owned(),
        };
        let made = match coding.filter(|_| job.recode) {
            Some(coding) => coding.encode(&made).map_err(|_| Fault::Coding)?,
            None => made,
        };
        Ok(Some(Made {
            body: made.into(),
            uncoded: coding.is_some() && !job.recode,
            varies: coding.is_some() && job.side == Side::Response,
            content_type: match &job.content_type {
                Some(content_type) if !charset.is_utf8() => Some(without_charset(content_type)),
                _ => None,
            },
        }))
    }

    fn rewrite(
        &self,
        job: &Job,
        text: &[u8],
        document: Node<'_>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let edited = match self.edits.is_empty() {
            true => None,
            false => {
                (self.edits.apply(document, &job.values, self.bounds.limit)).map_err(unmade)?
            }
        };
        let Some(program) = &self.program else {
            return Ok(edited);
        };
        let text = edited.as_deref().unwrap_or(text);
        let made = program.run(text, job.args.clone());
        made.map(Some).map_err(Fault::Program)
    }
}

/// The media types of a line, which should be one, without their parameters. Where quotes count, a comma in them does not
/// (RFC 9110, 5.6.4).
fn essences(line: &[u8], quotes_count: bool) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let members = line.split(move |byte| {
        let is_escaped = std::mem::take(&mut escaped);
        escaped = quoted && !is_escaped && *byte == b'\\';
        quoted ^= *byte == b'"' && !is_escaped;
        *byte == b',' && !(quoted && quotes_count)
    });
    let essences = members.map(|member| {
        let end = member.iter().position(|byte| *byte == b';');
        member[..end.unwrap_or(member.len())].trim_ascii()
    });
    essences.filter(|essence| !essence.is_empty())
}

fn undecodable(why: Undecodable) -> Fault {
    match why {
        Undecodable::TooLarge | Undecodable::Bomb => Fault::TooLarge,
        Undecodable::Broken => Fault::Invalid("expected a body in its coding".into()),
    }
}

fn unmade(why: Unmade) -> Fault {
    match why {
        Unmade::Misfit(why) => Fault::Invalid(why.into()),
        Unmade::TooLarge => Fault::TooLarge,
    }
}
