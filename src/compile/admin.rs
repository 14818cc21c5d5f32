//! Where the admin API and the metrics may answer.

use std::net::SocketAddr;

use wiregate_sdk::value::{Place, Problem};

use crate::admin;
use crate::config::model::{Bind, Config};

/// The admin API answers on this machine only, and neither it nor the metrics have the address of
/// another one.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let listeners = config.listeners.iter();
    let mut taken: Vec<(String, &Bind, &Place)> = listeners
        .map(|(name, listener)| {
            let bind = &listener.bind;
            (format!("the listener `{name}`"), &bind.value, &bind.place)
        })
        .collect();
    let mut asked = None;
    if let Some(admin) = &config.admin {
        match admin::Bind::parse(&admin.bind) {
            Ok(bind) => asked = Some((Bind::from(bind), &admin.bind.place)),
            Err(message) => {
                let problem = Problem::new(admin.bind.place.clone(), message);
                problems.push(match admin.bind.parse::<SocketAddr>() {
                    Ok(_) => problem.help(FOR_OTHERS),
                    Err(_) => problem,
                });
            }
        }
    }
    if let Some((bind, place)) = &asked {
        alone("the admin API", bind, place, &taken, problems);
        taken.push(("the admin API".to_owned(), bind, place));
    }
    if let Some(metrics) = &config.metrics {
        let bind = &metrics.bind;
        alone("`metrics`", bind, &bind.place, &taken, problems);
    }
}

const FOR_OTHERS: &str =
    "`metrics: { bind: … }` shows the metrics and the probes to other machines";

/// Nobody else has this address; port 0 is a different one each time.
fn alone(
    who: &str,
    bind: &Bind,
    place: &Place,
    taken: &[(String, &Bind, &Place)],
    problems: &mut Vec<Problem>,
) {
    let mut others = taken.iter().filter(|_| !bind.any_port());
    if let Some((other, _, theirs)) = others.find(|(_, other, _)| *other == bind) {
        let message = format!("{who} and {other} have the same address");
        let problem = Problem::new(place.clone(), message);
        problems.push(problem.related((*theirs).clone(), "the other one is here"));
    }
}
