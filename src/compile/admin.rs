//! Where the admin API and the metrics may answer.

use std::net::SocketAddr;

use wiregate_sdk::value::{At, Place, Problem};

use crate::admin;
use crate::config::model::{Bind, Config};

/// No two of the listeners, the admin API and the metrics have the same address, and the admin API answers on
/// this machine only.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let mut asked: Vec<(String, Bind, &Place)> = (config.listeners.iter())
        .map(|(name, listener)| {
            let bind = &listener.bind;
            let who = format!("the listener `{name}`");
            (who, bind.value.clone(), &bind.place)
        })
        .collect();
    if let Some(At { value, place }) = config.admin.as_ref().map(|admin| &admin.bind) {
        match admin::address(value) {
            Ok(bind) => asked.push(("the admin API".to_owned(), bind, place)),
            Err(message) => {
                let problem = Problem::new(place.clone(), message);
                problems.push(match value.parse::<SocketAddr>() {
                    Ok(_) => problem.help(FOR_OTHERS),
                    Err(_) => problem,
                });
            }
        }
    }
    if let Some(At { value, place }) = config.metrics.as_ref().map(|metrics| &metrics.bind) {
        asked.push(("`metrics`".to_owned(), value.clone(), place));
    }
    for (position, (who, bind, place)) in asked.iter().enumerate() {
        // Port 0 is a different one each time.
        let mut others = asked[..position].iter().filter(|_| !bind.any_port());
        if let Some((other, _, theirs)) = others.find(|(_, other, _)| other == bind) {
            let message = format!("{who} and {other} have the same address");
            let problem = Problem::new((*place).clone(), message);
            problems.push(problem.related((*theirs).clone(), "the other one is here"));
        }
    }
}

const FOR_OTHERS: &str =
    "`metrics: { bind: … }` shows the metrics and the probes to other machines";
