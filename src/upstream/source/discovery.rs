//! Keeps the endpoints of one upstream what its sources say, while its configuration is live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use wiregate_sdk::value::Problem;

use super::{Dns, Failure, Question, Roster};
use crate::upstream::{Endpoint, Upstream};

/// Questions that are open at a time, for each upstream.
const MOST_AT_ONCE: usize = 32;
/// How often it is looked whether a file has changed; two looks see it unchanged before it is read.
const LOOK: Duration = Duration::from_millis(250);

/// Looks after the endpoints of one upstream.
pub struct Discovery {
    upstream: Arc<Upstream>,
    roster: Roster,
    dns: Arc<Dns>,
}

/// When a question is asked next, and how it went so far.
struct Due {
    at: Instant,
    asking: bool,
    failures: u32,
    /// What was last logged, so that it is not said again.
    said: Option<Failure>,
}

type Asking = FuturesUnordered<BoxFuture<'static, (Question, Result<(), Failure>)>>;

impl Discovery {
    /// What looks after this upstream, whose endpoints are those of this roster.
    pub fn new(upstream: Arc<Upstream>, roster: Roster, dns: Arc<Dns>) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            roster,
            dns,
        })
    }

    /// Asks for the names that were never resolved, so that the upstream has endpoints when it
    /// goes live. Takes no longer than one answer may take; what is missing then comes later.
    pub async fn prepare(self: Arc<Self>) {
        let asked = async {
            // The answers about services bring up further questions.
            for _ in 0..2 {
                let open = self.roster.questions().into_iter();
                let open = open.filter(|question| self.roster.answers.until(question).is_none());
                let asking = open.map(|question| self.clone().ask(question));
                let _: Vec<_> = stream::iter(asking)
                    .buffer_unordered(MOST_AT_ONCE)
                    .collect()
                    .await;
            }
        };
        let _ = tokio::time::timeout(self.dns.timeout(), asked).await;
        let (endpoints, _) = self.roster.endpoints(&self.present());
        self.upstream.seed(endpoints);
    }

    /// Asks DNS and looks at files, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut asking = Asking::new();
        let mut schedule: HashMap<Question, Due> = HashMap::new();
        let mut crowded = 0;
        loop {
            if self.is_settled(&schedule) {
                self.publish(&mut crowded);
            }
            let wake = self.ask_what_is_due(&mut schedule, &asking);
            tokio::select! {
                Some((question, outcome)) = asking.next(), if !asking.is_empty() => {
                    if let Some(due) = schedule.get_mut(&question) {
                        self.settle(&question, outcome, due);
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.clone().look_at_files().await;
        }
    }

    /// Asks whatever is due, and says when there is something to do again.
    fn ask_what_is_due(
        self: &Arc<Self>,
        schedule: &mut HashMap<Question, Due>,
        asking: &Asking,
    ) -> Instant {
        let now = Instant::now();
        let questions = self.roster.questions();
        schedule.retain(|question, due| due.asking || questions.contains(question));
        self.roster.answers.forget_all_but(&questions, now);
        for question in questions {
            schedule.entry(question).or_insert_with_key(|question| Due {
                at: self.roster.answers.until(question).unwrap_or(now),
                asking: false,
                failures: 0,
                said: None,
            });
        }
        let has_files = self.roster.files().next().is_some();
        let mut wake = now
            + if has_files {
                LOOK
            } else {
                Duration::from_secs(3600)
            };
        for (question, due) in schedule {
            if due.asking {
                continue;
            }
            if due.at > now {
                wake = wake.min(due.at);
            } else if asking.len() < MOST_AT_ONCE {
                due.asking = true;
                asking.push(Box::pin(self.clone().ask(question.clone())));
            }
        }
        wake
    }

    async fn ask(self: Arc<Self>, question: Question) -> (Question, Result<(), Failure>) {
        let answers = &self.roster.answers;
        let outcome = match &question {
            Question::Host(name) => {
                let last = answers.hosts(name).map(|answer| answer.found);
                let answer = self.dns.hosts(name, last.as_ref()).await;
                answer.map(|answer| answers.put_hosts(name.clone(), answer))
            }
            Question::Service(name) => {
                let answer = self.dns.services(name).await;
                answer.map(|answer| answers.put_services(name.clone(), answer))
            }
        };
        let result = outcome.as_ref().map_or_else(Failure::word, |()| "ok");
        self.upstream.metrics.refreshed("dns", result);
        (question, outcome)
    }

    /// Says how a question went, and when it is asked again.
    fn settle(&self, question: &Question, outcome: Result<(), Failure>, due: &mut Due) {
        let (Question::Host(name) | Question::Service(name)) = question;
        let upstream = &self.upstream.name;
        due.asking = false;
        match outcome {
            Ok(()) => {
                due.at = self.roster.answers.until(question).unwrap_or(due.at);
                due.failures = 0;
                if due.said.take().is_some() {
                    tracing::info!(%upstream, %name, "the name is resolved again");
                }
            }
            Err(failure) => {
                due.failures = due.failures.saturating_add(1);
                due.at = Instant::now() + self.dns.pause(due.failures);
                if due.said.as_ref() != Some(&failure) {
                    let known = self.roster.answers.until(question).is_some();
                    let stays = if known {
                        "the last good answer stays"
                    } else {
                        "there was none yet"
                    };
                    tracing::warn!(%upstream, %name, %failure, "a name cannot be resolved: {stays}");
                    due.said = Some(failure);
                }
            }
        }
    }

    async fn look_at_files(self: Arc<Self>) {
        if self.roster.files().next().is_none() {
            return;
        }
        let looked = tokio::task::spawn_blocking(move || {
            for file in self.roster.files() {
                match file.look(&self.roster.reach) {
                    None => {}
                    Some(Ok(())) => self.upstream.metrics.refreshed("file", "ok"),
                    Some(Err(problems)) => self.refused(file.path(), &problems),
                }
            }
        });
        // A panic in there is told by the runtime; the endpoints stay.
        let _ = looked.await;
    }

    fn refused(&self, path: &std::path::Path, problems: &[Problem]) {
        self.upstream.metrics.refreshed("file", "error");
        let first = problems.first();
        let first = first.map(|first| format!("{}: {}", first.place, first.message));
        tracing::error!(
            upstream = %self.upstream.name,
            file = %path.display(),
            problems = problems.len(),
            first,
            "the file of endpoints is refused, the endpoints that it had stay"
        );
    }

    /// Whether there is an answer to every question, or at least a failure. Until then the present
    /// endpoints stay: those that take their place may have names that are being resolved.
    fn is_settled(&self, schedule: &HashMap<Question, Due>) -> bool {
        self.roster.questions().iter().all(|question| {
            let failed = schedule.get(question).is_some_and(|due| due.failures > 0);
            failed || self.roster.answers.until(question).is_some()
        })
    }

    /// Puts the endpoints in place that there are now, where those are others than before.
    fn publish(&self, crowded: &mut usize) {
        let present = self.present();
        let (endpoints, beyond) = self.roster.endpoints(&present);
        let upstream = &self.upstream.name;
        if beyond != std::mem::replace(crowded, beyond) && beyond > 0 {
            tracing::warn!(%upstream, beyond, "there are too many endpoints, some are left out");
        }
        let same = endpoints.len() == present.len()
            && (endpoints.iter().zip(&*present)).all(|(new, old)| Arc::ptr_eq(new, old));
        if !same {
            tracing::info!(%upstream, endpoints = endpoints.len(), "the endpoints have changed");
            self.upstream.replace(endpoints);
        }
    }

    fn present(&self) -> Arc<[Arc<Endpoint>]> {
        self.upstream.members().endpoints.clone()
    }
}
