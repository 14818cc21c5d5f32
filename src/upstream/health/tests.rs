use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;
use crate::upstream::testing::{self, config};
use crate::upstream::{Ask, Reach, State, States, Wish};

/// A check of an upstream with one endpoint, as a version of the configuration makes it.
fn check(options: &str, state: &Arc<State>) -> Check {
    let config = config(&format!("health: {{ http: / {options} }}"));
    let address: Address = "127.0.0.1:1".parse().unwrap();
    let peer = Reach::new("app", &config, None)
        .peer(&address, None)
        .unwrap();
    let endpoint = Endpoint::new(address, 1, peer, state.clone());
    let upstream = testing::of(&config, vec![Arc::new(endpoint)]);
    let health = config.health.unwrap();
    Check::new(Arc::new(upstream), health, Arc::default())
}

fn chooses(check: &Check) -> bool {
    let (wish, now) = (Wish::default(), check.upstream.clock.instant());
    check.upstream.choose(&Ask::new(&[], &wish, now)).is_ok()
}

#[test]
fn a_retired_check_that_ends_late_strands_nobody() {
    let state = Arc::default();
    let (retired, live) = (check("", &state), check("", &state));
    live.upstream.refresh();
    let settle =
        |check: &Check, verdict| check.settle(&check.upstream.members().endpoints[0], verdict);

    settle(&retired, Some(false));
    settle(&live, Some(false)); // no news for the state, but for this rotation
    assert!(!chooses(&live));
    settle(&retired, Some(true));
    settle(&live, None); // one check is too little to tell, but enough to look
    assert!(chooses(&live));
}

/// A listener, and how often it was connected to so far.
async fn counting() -> (Address, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Inet(listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    (address, count)
}

fn count(of: &AtomicUsize) -> usize {
    of.load(Ordering::Relaxed)
}

/// Checks an upstream, as its configuration says.
fn checking(upstream: &Arc<Upstream>, config: model::Upstream) -> tokio::task::JoinHandle<()> {
    let check = Check::new(upstream.clone(), config.health.unwrap(), Arc::default());
    tokio::spawn(check.run())
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, waiting).await.expect(what);
}

#[tokio::test]
async fn endpoints_are_checked_from_when_they_come_until_they_leave() {
    let config = config("health: { tcp: true, every: 20ms }");
    let reach = Reach::new("app", &config, None);
    let ((a, asked_a), (b, asked_b)) = (counting().await, counting().await);
    let endpoint = |address: &Address| {
        let peer = reach.peer(address, None).unwrap();
        Arc::new(Endpoint::new(address.clone(), 1, peer, Arc::default()))
    };
    let (a, b) = (endpoint(&a), endpoint(&b));
    let upstream = Arc::new(testing::of(&config, vec![a.clone()]));
    let checking = checking(&upstream, config);
    until("the first one is checked", || count(&asked_a) > 2).await;
    assert_eq!(count(&asked_b), 0);

    upstream.replace(vec![a, b.clone()]);
    let before = count(&asked_a);
    until("both are checked", || {
        count(&asked_b) > 2 && count(&asked_a) > before + 2
    })
    .await;

    upstream.replace(vec![b]);
    let before = count(&asked_b);
    until("it has noticed", || count(&asked_b) > before + 5).await;
    let (left, stays) = (count(&asked_a), count(&asked_b));
    until("the other one is checked", || count(&asked_b) > stays + 5).await;
    assert!(count(&asked_a) <= left + 1, "one may have been under way");
    checking.abort();
}

#[tokio::test]
async fn what_takes_an_endpoints_place_at_its_address_is_checked_instead_of_it() {
    let config = config("health: { tcp: true, every: 20ms }");
    let reach = Reach::new("app", &config, None);
    let ((a, asked_a), (b, asked_b)) = (counting().await, counting().await);
    let state: Arc<State> = Arc::default();
    let known_by = |way: &Address| {
        let peer = reach.peer(way, None).unwrap();
        Arc::new(Endpoint::new(a.clone(), 1, peer, state.clone()))
    };
    let upstream = Arc::new(testing::of(&config, vec![known_by(&a)]));
    let checking = checking(&upstream, config);
    until("the first one is checked", || count(&asked_a) > 2).await;

    upstream.replace(vec![known_by(&b)]);
    until("the other one is checked", || count(&asked_b) > 2).await;
    let left = count(&asked_a);
    let before = count(&asked_b);
    until("it goes on", || count(&asked_b) > before + 5).await;
    assert_eq!(count(&asked_a), left);
    checking.abort();
}

/// Checks that come out like this, each by another version of the configuration; or are not made.
fn checks(
    options: &str,
    state: &Arc<State>,
    outcomes: impl IntoIterator<Item = impl Into<Option<bool>>>,
) -> Vec<bool> {
    let each = outcomes.into_iter().map(|passed| {
        let check = check(options, state);
        let endpoint = check.upstream.members().endpoints[0].clone();
        let now = check.upstream.clock.instant();
        endpoint.state.begin_check(now, Duration::from_secs(1));
        let verdict = check.verdict(&check.probe(&endpoint), &endpoint, passed.into());
        assert!(!endpoint.state.is_being_checked());
        check.settle(&endpoint, verdict);
        chooses(&check)
    });
    each.collect()
}

#[test]
fn rows_of_checks_go_on_over_reloads() {
    let states = States::default();
    let state = states.of(&"127.0.0.1:1".parse().unwrap());
    let outcomes = [false, false, true, true, false, true, false, false];
    let seen = checks("", &state, outcomes);
    assert_eq!(seen, [true, false, false, true, true, true, true, false]);
}

#[test]
fn a_check_that_was_not_made_counts_for_nothing() {
    let states = States::new(false);
    let state = states.of(&"127.0.0.1:1".parse().unwrap());
    let outcomes = [None, None, Some(true), None, Some(false), None, Some(false)];
    let seen = checks(", start: unhealthy", &state, outcomes);
    assert_eq!(seen, [false, false, true, true, true, true, false]);
}

#[test]
fn one_check_proves_an_endpoint_that_nothing_is_known_of() {
    let options = ", start: unhealthy";
    for (outcomes, expected) in [
        (&[true, false, false][..], &[true, true, false][..]),
        (&[false, true, true], &[false, false, true]),
    ] {
        let states = States::new(false);
        let state = states.of(&"127.0.0.1:1".parse().unwrap());
        assert!(!chooses(&check(options, &state)));
        assert_eq!(checks(options, &state, outcomes.iter().copied()), expected);
    }
}

#[test]
fn rhythms_are_spread_jittered_and_kept() {
    let state: Arc<State> = Arc::default();
    let check = check(", every: 10s, every_unhealthy: 1s, jitter: 10%", &state);
    let endpoint = check.upstream.members().endpoints[0].clone();
    let seconds = |delay: Duration| delay.as_secs_f64();
    for _ in 0..100 {
        // The time that it has been known for counts.
        let known = seconds(endpoint.state.age(check.upstream.clock.instant()));
        let second_of_two = seconds(check.first_delay(1, 2, &endpoint));
        let spread = 0.5 - known - 0.1..=0.5;
        assert!(spread.contains(&second_of_two), "{second_of_two}");
        let second = seconds(check.second_delay(1, 2, &endpoint).unwrap());
        assert!((6.7..=8.3).contains(&second), "{second}");
        let every = seconds(check.interval(&endpoint));
        assert!((9.0..=11.0).contains(&every), "{every}");
    }
    endpoint.state.checked(true, check.upstream.clock.instant());
    assert_eq!(check.second_delay(1, 2, &endpoint), None);
    let kept = seconds(check.first_delay(1, 2, &endpoint));
    assert!((8.0..=11.0).contains(&kept), "{kept}");
    endpoint.set_healthy(false, check.upstream.clock.instant());
    assert!(seconds(check.interval(&endpoint)) < 1.2);
}
