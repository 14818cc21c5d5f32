//! A harness for filters: build one, send it a request, look at what became of it.
//!
//! Time stands still unless the test moves it, and nothing touches a network.
//!
//! ```
//! use wiregate_sdk::testing::probe;
//! # use wiregate_sdk::*;
//! # #[derive(Deserialize, JsonSchema)] #[serde(transparent)] struct Word(String);
//! # struct Greet(HeaderValue);
//! # impl Filter for Greet {
//! #     const NAME: &'static str = "greet"; type Config = Word; type State = ();
//! #     fn build(word: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
//! #         HeaderValue::from_str(&word.0).map(Greet).map_err(|e| Invalid::new(e.to_string()))
//! #     }
//! #     async fn request(&self, req: &mut Request<'_>, _: &mut ()) -> Flow {
//! #         req.headers_mut().set(&header::FROM, self.0.clone()); Ok(())
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let filter = probe::<Greet>("hello");
//! let seen = filter.get("/orders").send().await;
//! assert_eq!(seen.request.headers["from"], "hello");
//! assert!(seen.reply.is_none());
//! # }
//! ```

mod bodies;
mod call;
mod seen;

use std::net::IpAddr;
use std::sync::Arc;

use crate::build::{Fetches, Kept, Task};
use crate::value::{Node, Piece, Problem, Value, pieces, read};
use crate::{Build, Chain, Client, Clock, Exchange, Filter, Registry, RequestHead, ResponseHead};

pub use call::Call;
pub use seen::Seen;

/// One filter, alone in a chain.
pub struct Probe {
    pub(crate) chain: Arc<Chain>,
    clock: Clock,
    kept: Kept,
    tasks: Vec<Task>,
}

/// Builds a filter from options as a user would write them. `${env:NAME}` stands for a secret
/// whose value is `NAME`.
///
/// # Panics
/// With every problem, where the options are refused.
#[must_use]
pub fn probe<F: Filter>(options: &str) -> Probe {
    match Probe::build::<F>(options, Clock::manual(), Kept::default()) {
        Ok(probe) => probe,
        Err(problems) => panic!("refused: {}", say(&problems)),
    }
}

/// The problems of options that must be refused, as one text, a line each: `line:column: message
/// (help)`.
///
/// # Panics
/// Where the options are accepted.
#[must_use]
pub fn refusal<F: Filter>(options: &str) -> String {
    match Probe::build::<F>(options, Clock::manual(), Kept::default()) {
        Ok(_) => panic!("these options were to be refused: {options}"),
        Err(problems) => say(&problems),
    }
}

impl Probe {
    fn build<F: Filter>(options: &str, clock: Clock, kept: Kept) -> Result<Self, Vec<Problem>> {
        let mut value = read(&"options.yaml".into(), options)?;
        resolve(&mut value);
        let registry = Registry::new().add::<F>();
        let entry = registry.get(F::NAME).expect("just added");
        let mut tasks = Vec::new();
        let mut cx = Build::new("probe", F::NAME, String::new(), &clock, &kept, &mut tasks);
        let link = entry.build(
            &value,
            F::NAME.to_owned(),
            "options.yaml:1".to_owned(),
            &mut cx,
        )?;
        Ok(Self {
            chain: Arc::new(Chain {
                links: vec![link],
                on_panic: None,
                watch: None,
            }),
            clock,
            kept,
            tasks,
        })
    }

    /// The same filter after a reload with other options: it gets back what it kept.
    ///
    /// # Panics
    /// With every problem, where the options are refused.
    #[must_use]
    pub fn reload<F: Filter>(self, options: &str) -> Self {
        match Self::build::<F>(options, self.clock, self.kept.next()) {
            Ok(probe) => probe,
            Err(problems) => panic!("refused: {}", say(&problems)),
        }
    }

    /// The same filter in a process that has taken this one's place: it gets what it kept for that
    /// (`keep_over_upgrades`), packed and taken in as in an upgrade.
    ///
    /// # Panics
    /// With every problem, where the options are refused.
    #[must_use]
    pub fn upgrade<F: Filter>(self, options: &str) -> Self {
        match Self::build::<F>(options, self.clock, Kept::after(self.kept.pack())) {
            Ok(probe) => {
                probe.kept.take_in(&self.kept.pack());
                probe
            }
            Err(problems) => panic!("refused: {}", say(&problems)),
        }
    }

    /// The clock that the filter goes by; it stands until the test advances it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the filter fetches in the background, as operators see it.
    #[must_use]
    pub fn fetches(&self) -> Vec<Arc<Fetches>> {
        self.kept.all_fetches()
    }

    /// The same filter, with somebody who is told how long its hooks take.
    #[cfg(test)]
    pub(crate) fn watched(mut self, watch: Arc<dyn crate::chain::Watch>) -> Self {
        let chain = Arc::get_mut(&mut self.chain).expect("nothing runs yet");
        chain.watch = Some(watch);
        self
    }

    /// The background tasks that the filter asked for, to be spawned by the test.
    pub fn take_tasks(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    /// A GET of this target.
    #[must_use]
    pub fn get(&self, target: &str) -> Call {
        self.request("GET", target)
    }

    /// A POST of this body to this target.
    #[must_use]
    pub fn post(&self, target: &str, body: impl Into<crate::Bytes>) -> Call {
        self.request("POST", target).body(body)
    }

    /// A request with this method and target.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Call {
        Call::new(self.chain.clone(), self.clock.now(), method, target)
    }
}

/// A request head that says no more than this.
///
/// # Panics
/// Where that is not a valid method or target.
#[must_use]
pub fn request_head(method: &str, target: &str) -> RequestHead {
    let request = http::Request::builder().method(method).uri(target);
    request
        .body(())
        .expect("a valid request line")
        .into_parts()
        .0
}

/// A response head that says no more than this.
///
/// # Panics
/// Where that is not a valid status.
#[must_use]
pub fn response_head(status: u16) -> ResponseHead {
    let response = http::Response::builder().status(status);
    response.body(()).expect("a valid status").into_parts().0
}

/// An exchange of which nothing is known but this request and a client at 192.0.2.1.
#[must_use]
pub fn exchange(head: &RequestHead) -> Exchange {
    let address = IpAddr::from([192, 0, 2, 1]);
    let client = Client {
        address,
        peer: address,
        port: 40_000,
        scheme: "http",
        tls: None,
    };
    let id = "0190b6f0-0000-7000-8000-000000000000".into();
    Exchange::new(id, Clock::default().now(), client, head)
}

/// Resolves each reference `${env:NAME}` to `NAME`, as a probe's options are read.
pub fn resolve(value: &mut Value) {
    match &mut value.node {
        Node::Null => {}
        Node::List(items) => items.iter_mut().for_each(resolve),
        Node::Map(entries) => entries.iter_mut().for_each(|(_, value)| resolve(value)),
        Node::Scalar(scalar) => {
            let written = scalar.text.clone();
            for piece in pieces(&written) {
                if let Piece::Reference { whole, name, .. } = piece {
                    scalar.text = scalar.text.replacen(whole, name, 1);
                    scalar.resolved.push(name.to_owned());
                }
            }
            scalar.written = (!scalar.resolved.is_empty()).then_some(written);
        }
    }
}

fn say(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let help = problem
            .help
            .as_ref()
            .map_or(String::new(), |help| format!(" ({help})"));
        let (line, column) = (problem.place.line, problem.place.column);
        format!("{line}:{column}: {}{help}", problem.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}
