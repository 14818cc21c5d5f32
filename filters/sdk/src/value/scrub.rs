//! Keeps what references resolved to out of messages.

use super::error::cut;
use super::{Node, Problem, Scalar, Value};

/// From how many characters on a part of a secret is too much to show.
const PART: usize = 6;

/// A message about a value, without anything that references in the value resolved to: for
/// whoever makes a [`Problem`](super::Problem) of words that may quote the value.
pub fn scrub(message: String, value: &Value) -> String {
    let mut secrets = Vec::new();
    collect(value, &mut secrets);
    // The longest first: one may be a part of another.
    secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    let mut shown = message;
    for (secret, scalar) in &secrets {
        shown = replace(&shown, secret, &cut(scalar.source()));
    }
    // A parser may have told a part of it, or told it in other letters. Its words are worth less
    // than the secret.
    match secrets
        .iter()
        .find(|(secret, scalar)| shows_part(&shown, secret, scalar))
    {
        Some((_, scalar)) => format!(
            "what `{}` resolves to is not valid here",
            cut(scalar.source())
        ),
        None => shown,
    }
}

/// All that references in a value resolved to, for messages that may be about any part of it.
pub struct Secrets<'v>(Vec<(String, &'v Scalar)>);

impl<'v> Secrets<'v> {
    /// Those in a value. The shortest ones, such as a port, are not worth hiding everywhere: they
    /// stand in ordinary words and numbers.
    pub fn of(value: &'v Value) -> Self {
        let mut secrets = Vec::new();
        collect(value, &mut secrets);
        secrets.retain(|(secret, _)| secret.chars().count() >= PART);
        secrets.sort_by(|(a, _), (b, _)| (b.len(), b).cmp(&(a.len(), a)));
        secrets.dedup_by(|(a, _), (b, _)| a == b);
        Self(secrets)
    }

    /// Puts references back into all that a problem says.
    pub fn hide(&self, problem: &mut Problem) {
        let related = problem.related.iter_mut().map(|(_, why)| why);
        let texts = [&mut problem.message].into_iter().chain(&mut problem.help);
        for text in texts.chain(related) {
            for (secret, scalar) in &self.0 {
                if text.contains(secret) {
                    *text = text.replace(secret, &cut(scalar.source()));
                }
            }
        }
    }
}

/// What references resolved to, each also as a template and an escaped literal hold it.
fn collect<'v>(value: &'v Value, secrets: &mut Vec<(String, &'v Scalar)>) {
    match &value.node {
        Node::Null => {}
        Node::List(items) => items.iter().for_each(|item| collect(item, secrets)),
        Node::Map(entries) => entries
            .iter()
            .for_each(|(_, value)| collect(value, secrets)),
        Node::Scalar(scalar) if scalar.written.is_some() => {
            let whole = std::iter::once(scalar.text.as_str());
            for secret in whole.chain(scalar.resolved.iter().map(String::as_str)) {
                if secret == scalar.source() || secret.is_empty() {
                    continue;
                }
                let forms = [
                    secret.to_owned(),
                    secret.replace('$', "$$"),
                    cut(secret),
                    secret.escape_debug().to_string(),
                    secret.trim().to_owned(),
                ];
                secrets.extend(forms.into_iter().map(|form| (form, scalar)));
            }
        }
        Node::Scalar(_) => {}
    }
}

/// Replaces a secret. A very short one may also be a part of ordinary words: these stay.
fn replace(message: &str, secret: &str, by: &str) -> String {
    if secret.is_empty() {
        return message.to_owned();
    }
    let short = secret.chars().count() < PART;
    let mut shown = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(secret) {
        let (before, behind) = (&rest[..at], &rest[at + secret.len()..]);
        let word =
            before.ends_with(char::is_alphanumeric) || behind.starts_with(char::is_alphanumeric);
        shown.push_str(before);
        shown.push_str(if short && word { secret } else { by });
        rest = behind;
    }
    shown + rest
}

/// Whether a message still has a part of a secret in it, other than what was written anyway.
fn shows_part(message: &str, secret: &str, scalar: &Scalar) -> bool {
    let (message, secret) = (message.to_lowercase(), secret.to_lowercase());
    let written = scalar.source().to_lowercase();
    let starts: Vec<_> = secret.char_indices().map(|(at, _)| at).collect();
    starts.iter().enumerate().any(|(i, &begin)| {
        let end = starts.get(i + PART).copied().unwrap_or(secret.len());
        let part = &secret[begin..end];
        i + PART <= starts.len() && message.contains(part) && !written.contains(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::somewhere;

    fn secret(text: &str, written: &str, resolved: &str) -> Value {
        Value {
            place: somewhere(),
            node: Node::Scalar(Scalar {
                text: text.into(),
                written: Some(written.into()),
                resolved: vec![resolved.into()],
                quoted: false,
            }),
        }
    }

    #[test]
    fn shows_what_was_written_instead() {
        let value = secret("Bearer hunter2", "Bearer ${env:T}", "hunter2");
        let scrubbed = scrub("no scheme in `Bearer hunter2`".into(), &value);
        assert_eq!(scrubbed, "no scheme in `Bearer ${env:T}`");
        let scrubbed = scrub("`hunter2` is short".into(), &value);
        assert_eq!(scrubbed, "`Bearer ${env:T}` is short");
    }

    #[test]
    fn a_message_with_a_part_of_it_is_given_up() {
        let value = secret("tops3cretvalue", "${env:T}", "tops3cretvalue");
        for message in ["no unit `s3cretvalue`", "bad: TOPS3CRET", "x: `tops3c`"] {
            let scrubbed = scrub(message.into(), &value);
            assert_eq!(scrubbed, "what `${env:T}` resolves to is not valid here");
        }
    }

    #[test]
    fn a_problem_about_anything_shows_no_secret() {
        let value = secret("tops3cret", "${env:T}", "tops3cret");
        let place = value.place.clone();
        let mut problem = Problem::new(place.clone(), "both match `x: tops3cret`")
            .help("not tops3cret1")
            .related(place, "tops3cret");
        Secrets::of(&value).hide(&mut problem);
        assert_eq!(problem.message, "both match `x: ${env:T}`");
        assert_eq!(problem.help.as_deref(), Some("not ${env:T}1"));
        assert_eq!(problem.related[0].1, "${env:T}");
        let mut problem = Problem::new(problem.place, "expected version 1");
        Secrets::of(&secret("1", "${env:T}", "1")).hide(&mut problem);
        assert_eq!(problem.message, "expected version 1");
    }

    #[test]
    fn short_values_do_not_garble_words() {
        let value = secret("a", "${env:T}", "a");
        let scrubbed = scrub("expected a rate, found `a`".into(), &value);
        assert!(scrubbed.ends_with("rate, found `${env:T}`"), "{scrubbed}");
    }
}
