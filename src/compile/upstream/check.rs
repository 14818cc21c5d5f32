//! What is wrong with the configuration of an upstream.

use pingora_http::RequestHeader;
use wiregate_sdk::value::{At, Place, Problem};

use crate::config::model::upstream as model;
use model::{Balance, Outliers, Sticky};

const MOST_TIMES: u32 = 100;
/// A shorter secret could be guessed.
const SHORTEST_SECRET: usize = 16;
const LONGEST_SERVICE: usize = 1024;

/// Adds every problem that an upstream has by itself.
pub(super) fn check(config: &At<model::Upstream>, problems: &mut Vec<Problem>) {
    let mut say = |place: &Place, message: String| {
        problems.push(Problem::new(place.clone(), message));
    };
    if let Balance::Hash(hash) = &config.balance
        && let Err(message) = hash.by.check_text().and_then(|()| hash.by.check_early())
    {
        say(&hash.by.place, message);
    }
    if let Some(sticky) = &config.sticky {
        check_sticky(sticky, &mut say);
    }
    if let Some(health) = &config.health {
        check_health(health, &config.place, &mut say);
    }
    if let Some(outliers) = &config.outliers {
        check_outliers(outliers, &mut say);
    }
    if let Some(panic) = &config.panic
        && panic.millionths() == 0
    {
        let message = "expected more than `0%`: leave `panic` out to turn it off";
        say(&panic.place, message.to_owned());
    } else if let Some(panic) = &config.panic
        && config.health.is_none()
        && config.outliers.is_none()
    {
        let message =
            "`panic` says nothing without `health` and `outliers`: all endpoints get requests";
        say(&panic.place, message.to_owned());
    }
}

fn check_sticky(sticky: &Sticky, say: &mut impl FnMut(&Place, String)) {
    let is_token = |text: &str| {
        let symbols = b"!#$%&'*+-.^_`|~";
        let good = |byte: u8| byte.is_ascii_alphanumeric() || symbols.contains(&byte);
        !text.is_empty() && text.bytes().all(good)
    };
    let cookie = &sticky.cookie;
    if !is_token(cookie) {
        let message = format!("expected the name of a cookie, found `{}`", cookie.value);
        say(&cookie.place, message);
    }
    let path = &sticky.path;
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(plain) {
        let message = format!("expected a path such as `/`, found `{}`", path.value);
        say(&path.place, message);
    }
    let short = |secret: &wiregate_sdk::types::Secret| secret.expose().len() < SHORTEST_SECRET;
    if sticky.secret.iter().any(short) {
        let message = format!("expected a secret of at least {SHORTEST_SECRET} bytes");
        say(&sticky.secret.place, message);
    }
}

fn check_outliers(outliers: &At<Outliers>, say: &mut impl FnMut(&Place, String)) {
    let tests = [
        outliers.consecutive_errors.is_some(),
        outliers.error_rate.is_some(),
        outliers.slow.is_some(),
    ];
    if tests == [false; 3] {
        let message = "expected at least one of `consecutive_errors`, `error_rate` and `slow`";
        say(&outliers.place, message.to_owned());
    }
    if outliers.longest < outliers.eject_for {
        let message = format!(
            "expected `longest` to be at least `eject_for`, found `{}` and `{}`",
            outliers.longest, outliers.eject_for
        );
        say(&outliers.place, message);
    }
    if let Some(slow) = &outliers.slow
        && !(2..=MOST_TIMES).contains(&slow.times.get())
    {
        let message = format!("expected 2 to {MOST_TIMES}, found {}", slow.times.value);
        say(&slow.times.place, message);
    }
}

fn check_health(health: &model::Health, place: &Place, say: &mut impl FnMut(&Place, String)) {
    let kinds = [
        health.http.as_ref().map(|at| &at.place),
        health.tcp.as_ref().map(|at| &at.place),
        health.grpc.as_ref().map(|at| &at.place),
    ];
    let written: Vec<&Place> = kinds.into_iter().flatten().collect();
    if written.len() != 1 {
        let place = written.last().copied().unwrap_or(place);
        let message = "expected one of `http`, `tcp` and `grpc` in `health`";
        let found = if written.is_empty() {
            "none"
        } else {
            "several"
        };
        say(place, format!("{message}, found {found}"));
    }
    if let Some(path) = &health.http {
        let head = RequestHeader::build("GET", path.as_bytes(), None);
        if head.is_err() || !path.starts_with('/') {
            let message = format!("expected a path such as `/healthz`, found `{}`", path.value);
            say(&path.place, message);
        }
    }
    if let Some(tcp) = health.tcp.as_ref().filter(|tcp| !tcp.value) {
        let message = "expected `true`: leave `tcp` out where it is not wanted";
        say(&tcp.place, message.to_owned());
    }
    if let Some(service) = (health.grpc.as_ref()).filter(|at| at.len() > LONGEST_SERVICE) {
        let message = format!("expected a service's name of at most {LONGEST_SERVICE} bytes");
        say(&service.place, message);
    }
    check_details(health, say);
}

fn check_details(health: &model::Health, say: &mut impl FnMut(&Place, String)) {
    if let Some(host) = &health.host {
        let bad = host.is_empty() || http::uri::Authority::try_from(host.as_str()).is_err();
        if bad {
            let message = format!("expected a host name, found `{}`", host.value);
            say(&host.place, message);
        } else if health.tcp.is_some() {
            say(&host.place, only_with("host", "`http` or `grpc`"));
        }
    }
    if let Some(expect) = (health.expect.as_ref()).filter(|_| health.http.is_none()) {
        say(&expect.place, only_with("expect", "`http`"));
    }
    if let Some(body) = &health.body {
        if health.http.is_none() {
            say(&body.place, only_with("body", "`http`"));
        }
        if body.contains.is_none() && body.matches.is_none() {
            let message = "expected `contains` or `matches` in `body`";
            say(&body.place, message.to_owned());
        }
    }
}

fn only_with(option: &str, kind: &str) -> String {
    format!("`{option}` is possible with {kind} only")
}
