//! Upstreams out of their configuration.

mod check;
mod tls;

use std::sync::Arc;

use wiregate_sdk::build::Kept;
use wiregate_sdk::value::{At, Problem};

use super::{Context, Tasks, Upstreams, endpoints, resilience};
use crate::config::model::Config;
use crate::config::model::upstream as model;
use crate::config::model::upstream::health::Start;
use crate::observe::metrics::UpstreamMetrics;
use crate::upstream::{
    Answers, Check, Connections, Discovery, Dns, Interval, Reach, Roster, States, Upstream, Vitals,
    keep,
};

/// Builds upstreams.
pub(super) struct Builder<'a> {
    /// What a compilation needs besides the configuration.
    pub(super) cx: &'a Context<'a>,
    /// What outlives the configuration: states and answers.
    pub(super) kept: &'a Kept,
    /// What runs while the configuration is live.
    pub(super) tasks: &'a mut Tasks,
    /// What is to end before it goes live.
    pub(super) preparations: &'a mut Tasks,
    /// What is wrong.
    pub(super) problems: &'a mut Vec<Problem>,
}

/// What all upstreams have in common.
struct Common {
    dns: Arc<Dns>,
    /// The zone that the gateway is in.
    here: Option<Arc<str>>,
    /// The time-outs where an upstream has none of its own.
    timeouts: model::Timeouts,
}

impl Builder<'_> {
    /// Builds all upstreams, with the health that their endpoints had before.
    pub(super) fn all(&mut self, config: &Config) -> Upstreams {
        let dns = endpoints::dns(config, self.problems);
        let dns = Arc::new(Dns::new(dns));
        resilience::check_fallbacks(&config.upstreams, self.problems);
        let timeouts = config.timeouts;
        let here: Option<Arc<str>> = config.zone.as_ref().map(|zone| zone.as_str().into());
        let common = Common {
            dns,
            here,
            timeouts,
        };
        let each = config.upstreams.iter().map(|(name, config)| {
            let name: Arc<str> = name.as_str().into();
            (name.clone(), self.one(name, config, &common))
        });
        let all = each.collect();
        if !self.preparations.is_empty() {
            let mut files = self.cx.files.borrow_mut();
            endpoints::SYSTEM.iter().for_each(|path| files.note(*path));
        }
        all
    }

    fn one(
        &mut self,
        name: Arc<str>,
        config: &At<model::Upstream>,
        common: &Common,
    ) -> Arc<Upstream> {
        check::check(config, self.problems);
        resilience::check(config, common.timeouts, self.problems);
        let roster = self.roster(&name, config, common.here.clone());
        let (first, _) = roster.endpoints(&[]);
        let metrics = UpstreamMetrics::new(self.cx.metrics.clone(), name.clone());
        let key = format!("vitals\u{0}{name}");
        let vitals: Arc<Vitals> = self.kept.get_or_insert(key, Vitals::default);
        let times = config.timeouts.as_deref().copied().unwrap_or_default();
        let times = times.or(common.timeouts);
        let upstream = Upstream::new(name.clone(), config, times, first, metrics, &vitals);
        let upstream = Arc::new(upstream.timed_by(self.cx.clock.clone()));
        if !roster.is_fixed() {
            let discovery = Discovery::new(upstream.clone(), roster, common.dns.clone());
            self.preparations
                .push(Box::pin(discovery.clone().prepare()));
            self.tasks.push(Box::pin(discovery.run()));
        }
        if let Some(health) = &config.health {
            let connections = (self.kept).get_or_insert("health".to_owned(), Connections::default);
            let check = Check::new(upstream.clone(), health.clone(), connections);
            self.tasks.push(Box::pin(check.run()));
        }
        if config.outliers.is_some() || config.slow_start.is_some() {
            let key = format!("interval\u{0}{name}");
            let interval = self.kept.get_or_insert(key, Interval::default);
            self.tasks.push(Box::pin(keep(upstream.clone(), interval)));
        }
        upstream
    }

    /// The sources that are written, with the states and answers that there were before.
    fn roster(
        &mut self,
        upstream: &str,
        config: &At<model::Upstream>,
        here: Option<Arc<str>>,
    ) -> Roster {
        let tls = tls::build(upstream, config, self.cx.files, self.problems);
        let reach = Reach::new(upstream, config, tls);
        let sources = endpoints::sources(upstream, config, &reach, self.cx.files, self.problems);
        let states = self.states(upstream, config);
        let key = format!("answers\u{0}{upstream}");
        let answers: Arc<Answers> = self.kept.get_or_insert(key, Answers::default);
        Roster {
            sources,
            reach,
            here,
            states,
            answers,
        }
    }

    /// The states that endpoints had before. Without a check nothing would ever make an unhealthy
    /// endpoint healthy again, so that they begin anew where checks come or go.
    fn states(&self, upstream: &str, config: &model::Upstream) -> Arc<States> {
        let start = config.health.as_ref().map(|health| health.start);
        let rule = start.map_or("unchecked".to_owned(), |start| start.to_string());
        let healthy = start != Some(Start::Unhealthy);
        let key = format!("upstream\u{0}{upstream}\u{0}{rule}");
        (self.kept).get_or_take_over(key, || States::new(healthy))
    }
}
