//! Upstreams out of their configuration.

mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use pingora_http::RequestHeader;
use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{At, Place, Problem};

use super::{Files, Tasks, Upstreams, endpoints};
use crate::config::model::Config;
use crate::config::model::upstream as model;
use crate::observe::metrics::{Metrics, UpstreamMetrics};
use crate::upstream::{
    Answers, Check, Connections, Discovery, Dns, Reach, Roster, States, Upstream,
};

/// Builds upstreams.
pub(super) struct Builder<'a> {
    /// Where things are counted.
    pub(super) metrics: &'a Arc<Metrics>,
    /// What outlives the configuration: states and answers.
    pub(super) kept: &'a Kept,
    /// The files that are read.
    pub(super) files: &'a Files,
    /// What runs while the configuration is live.
    pub(super) tasks: &'a mut Tasks,
    /// What is to end before it goes live.
    pub(super) preparations: &'a mut Tasks,
    /// What is wrong.
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Builder<'_> {
    /// Builds all upstreams, with the health that their endpoints had before.
    pub(super) fn all(&mut self, config: &Config) -> Upstreams {
        let dns = endpoints::dns(config, self.problems);
        let dns = Arc::new(Dns::new(dns));
        let each = config.upstreams.iter().map(|(name, config)| {
            let name: Arc<str> = name.as_str().into();
            (name.clone(), self.one(name, config, &dns))
        });
        let all = each.collect();
        if !self.preparations.is_empty() {
            let system = endpoints::SYSTEM.map(PathBuf::from);
            self.files.borrow_mut().extend(system);
        }
        all
    }

    fn one(
        &mut self,
        name: Arc<str>,
        config: &At<model::Upstream>,
        dns: &Arc<Dns>,
    ) -> Arc<Upstream> {
        check(config, self.problems);
        let roster = self.roster(&name, config);
        let (first, _) = roster.endpoints(&[]);
        let metrics = UpstreamMetrics::new(self.metrics.clone(), name.clone());
        let upstream = Arc::new(Upstream::new(name, config, first, metrics));
        if !roster.is_fixed() {
            let discovery = Discovery::new(upstream.clone(), roster, dns.clone());
            self.preparations
                .push(Box::pin(discovery.clone().prepare()));
            self.tasks.push(Box::pin(discovery.run()));
        }
        if let Some(health) = &config.health {
            let connections = (self.kept).get_or_insert("health".to_owned(), Connections::default);
            let check = Check::new(upstream.clone(), health.clone(), connections);
            self.tasks.push(Box::pin(check.run()));
        }
        upstream
    }

    /// The sources that are written, with the states and answers that there were before.
    fn roster(&mut self, upstream: &str, config: &At<model::Upstream>) -> Roster {
        let tls = tls::build(upstream, config, self.files, self.problems);
        let reach = Reach::new(upstream, config, tls);
        let sources = endpoints::sources(upstream, config, &reach, self.files, self.problems);
        // Without a check nothing would ever make an unhealthy endpoint healthy again.
        let checked = config.health.is_some();
        let key = format!("upstream\u{0}{upstream}\u{0}{checked}");
        let states: Arc<States> = self.kept.get_or_insert(key, States::default);
        let key = format!("answers\u{0}{upstream}");
        let answers: Arc<Answers> = self.kept.get_or_insert(key, Answers::default);
        Roster {
            sources,
            reach,
            states,
            answers,
        }
    }
}

fn check(config: &At<model::Upstream>, problems: &mut Vec<Problem>) {
    let mut say = |place: &Place, message: String| {
        problems.push(Problem::new(place.clone(), message));
    };
    if let Some(health) = &config.health {
        check_health(health, &mut say);
    }
}

fn check_health(health: &model::Health, say: &mut impl FnMut(&Place, String)) {
    let path = &health.http;
    let head = RequestHeader::build("GET", path.as_bytes(), None);
    if head.is_err() || !path.starts_with('/') {
        let message = format!("expected a path such as `/healthz`, found `{}`", path.value);
        say(&path.place, message);
    }
    if let Some(host) = &health.host
        && (host.is_empty() || http::HeaderValue::from_str(host).is_err())
    {
        say(
            &host.place,
            format!("expected a host name, found `{}`", host.value),
        );
    }
    if health
        .expect
        .is_some_and(|code| !(200..600).contains(&code))
    {
        say(
            &path.place,
            "expected `expect` to be a status from 200 to 599".to_owned(),
        );
    }
}
