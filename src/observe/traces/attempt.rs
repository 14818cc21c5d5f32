//! An attempt that is under way.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Uri, Version};
use wiregate_sdk::Clock;

use super::{Exporter, Span, SpanId, Verb, What, span};
use crate::observe::access_log::Redaction;

/// An attempt that is under way, and recorded. It ends when it is dropped, whatever the reason for
/// that is.
#[derive(Debug)]
pub struct RunningAttempt {
    exporter: Arc<Exporter>,
    clock: Clock,
    began: Instant,
    /// There until it has ended.
    span: Option<Box<Span>>,
}

impl RunningAttempt {
    /// One that began at this moment; the span's duration is not known yet.
    pub fn new(exporter: Arc<Exporter>, clock: Clock, began: Instant, span: Box<Span>) -> Self {
        Self {
            exporter,
            clock,
            began,
            span: Some(span),
        }
    }

    /// Its id.
    pub fn id(&self) -> Option<SpanId> {
        self.span.as_ref().map(|span| span.id)
    }

    /// The request that is sent, as filters have left it. Where they may have put a secret into its path,
    /// `known` is the path that the client has asked for: parts that it has not are not shown.
    pub fn sent(&mut self, method: &Method, target: &Uri, version: Version, known: Option<&str>) {
        let path = match known {
            Some(known) => Cow::from(as_known(target.path(), known)),
            None => target.path().into(),
        };
        let (path, _) = span::parts(&Redaction::default().url(&path));
        self.change(|attempt| {
            attempt.method = Verb::of(method);
            attempt.sent = Some((path, version));
        });
    }

    /// The head of a response has come.
    pub fn answered(&mut self, status: StatusCode) {
        self.change(|attempt| attempt.status = Some(status.as_u16()));
    }

    /// It has failed.
    pub fn failed(&mut self, why: &'static str) {
        self.change(|attempt| attempt.error = Some(why));
    }

    fn change(&mut self, change: impl FnOnce(&mut super::Attempt)) {
        if let Some(What::Attempt(attempt)) = self.span.as_mut().map(|span| &mut span.what) {
            change(attempt);
        }
    }
}

/// A path with `***` for each of its segments that another one does not have.
fn as_known(path: &str, known: &str) -> String {
    let known: Vec<&str> = known.split('/').collect();
    let segments = path
        .split('/')
        .map(|segment| match known.contains(&segment) {
            true => segment,
            false => "***",
        });
    segments.collect::<Vec<_>>().join("/")
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.duration = self.clock.instant() - self.began;
            self.exporter.push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::as_known;

    #[test]
    fn what_the_client_has_not_sent_is_not_shown() {
        for (path, known, shown) in [
            ("/a/b", "/a/b", "/a/b"),
            ("/b", "/a/b", "/b"),
            ("/bot12:s3cret/send", "/send", "/***/send"),
            ("/s3cret", "/a", "/***"),
            ("/", "/a/b", "/"),
            // Not even where the client guesses at a part of it.
            ("/s3cret", "/s3cre", "/***"),
        ] {
            assert_eq!(as_known(path, known), shown, "{path}");
        }
    }
}
