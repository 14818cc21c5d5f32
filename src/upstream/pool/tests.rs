use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::lent::Lent;
use super::resting::Resting;

const IDLE: Duration = Duration::from_secs(5);

/// A connection, and the endpoint's side of it.
fn connection() -> (Stream, DuplexStream) {
    let (ours, theirs) = duplex(64);
    (Box::new(ours), theirs)
}

/// Puts a connection to rest; the endpoint's side of it.
fn put(resting: &Arc<Resting>, key: u64, idle: Duration) -> DuplexStream {
    let (ours, theirs) = connection();
    resting.put(key, ours, idle);
    theirs
}

/// Whether our side is gone.
async fn is_closed(endpoint: &mut DuplexStream) -> bool {
    let read = endpoint.read_u8();
    matches!(
        tokio::task::unconstrained(read).now_or_never(),
        Some(Err(_))
    )
}

/// The same endpoint's next word arrives where this connection is.
async fn leads_to(mut stream: Stream, endpoint: &mut DuplexStream) -> bool {
    stream.write_all(b"x").await.unwrap();
    endpoint.read_u8().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn the_last_one_of_a_key_is_taken_first_and_of_no_other() {
    let resting = Arc::new(Resting::new(8));
    let mut endpoints = [1, 1, 2].map(|key| put(&resting, key, IDLE));
    assert!(resting.take(3).is_none());
    for (key, position) in [(1, 1), (2, 2), (1, 0)] {
        let stream = resting.take(key).unwrap();
        assert!(
            leads_to(stream, &mut endpoints[position]).await,
            "{position}"
        );
    }
    assert!(resting.take(1).is_none() && resting.take(2).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_has_closed_or_speaks_over_is_not_handed_out() {
    let resting = Arc::new(Resting::new(8));
    let kept = put(&resting, 1, IDLE);
    let mut speaks = put(&resting, 1, IDLE);
    speaks.write_all(b"HTTP/1.1 408 ").await.unwrap();
    drop(put(&resting, 1, IDLE));
    let mut kept = kept;
    assert!(leads_to(resting.take(1).unwrap(), &mut kept).await);
    assert!(is_closed(&mut speaks).await);
    assert!(resting.take(1).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_closes_goes_soon_and_the_rest_in_its_time() {
    let resting = Arc::new(Resting::new(8));
    let start = Instant::now();
    let mut long = put(&resting, 1, 2 * IDLE);
    let mut short = put(&resting, 1, IDLE);
    let speaks = &mut put(&resting, 2, IDLE);
    sleep(IDLE / 5).await;
    speaks.write_all(b"x").await.unwrap();
    let mut rest = Vec::new();
    speaks.read_to_end(&mut rest).await.unwrap();
    assert!(start.elapsed() < IDLE * 3 / 10, "{:?}", start.elapsed());
    let _ = short.read_to_end(&mut rest).await;
    assert!(start.elapsed() >= IDLE && start.elapsed() < IDLE * 11 / 10);
    assert!(!is_closed(&mut long).await);
    let _ = long.read_to_end(&mut rest).await;
    assert!(start.elapsed() >= 2 * IDLE && start.elapsed() < IDLE * 21 / 10);
    // The task has ended with the last one; another one starts with the next.
    let mut next = put(&resting, 1, IDLE);
    let _ = next.read_to_end(&mut rest).await;
    assert!(start.elapsed() >= 3 * IDLE && start.elapsed() < 4 * IDLE);
    assert!(resting.take(1).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_may_rest_for_less_is_looked_at_in_time() {
    let resting = Arc::new(Resting::new(8));
    let _long = put(&resting, 1, 100 * IDLE);
    sleep(IDLE).await; // the task waits for that one's end by now
    let (start, mut rest) = (Instant::now(), Vec::new());
    let mut short = put(&resting, 2, IDLE);
    let _ = short.read_to_end(&mut rest).await;
    assert!(start.elapsed() < 2 * IDLE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_makes_room() {
    let resting = Arc::new(Resting::new(2));
    let mut endpoints = Vec::new();
    for key in [1, 2, 1, 3] {
        endpoints.push(put(&resting, key, IDLE));
        sleep(Duration::from_millis(1)).await;
    }
    let mut closed = Vec::new();
    for endpoint in &mut endpoints {
        closed.push(is_closed(endpoint).await);
    }
    assert_eq!(closed, [true, true, false, false]);
    assert!(resting.take(2).is_none());
    assert!(resting.take(1).is_some() && resting.take(3).is_some());
}

/// What Pingora does with a connection that is as good as new: whether it would keep it itself.
async fn asks(lent: &mut Lent) -> bool {
    let mut byte = [0];
    let read = tokio::task::unconstrained(lent.read(&mut byte));
    read.now_or_never().is_none()
}

#[tokio::test(start_paused = true)]
async fn a_lent_one_comes_home_once_it_is_asked_whether_it_is_as_good_as_new() {
    let resting = Arc::new(Resting::new(8));
    let lend = |idle| {
        let (ours, theirs) = connection();
        (Lent::new(ours, resting.clone(), 1, idle), theirs)
    };
    let (mut lent, mut endpoint) = lend(IDLE);
    endpoint.write_all(b"y").await.unwrap();
    assert_eq!(lent.read_u8().await.unwrap(), b'y');
    assert!(!asks(&mut lent).await, "Pingora's pool does not get it");
    assert!(resting.take(1).is_none(), "not before it is let go of");
    drop(lent);
    assert!(leads_to(resting.take(1).unwrap(), &mut endpoint).await);
    // One that is let go of for another reason does not come home.
    let (lent, mut endpoint) = lend(IDLE);
    drop(lent);
    assert!(is_closed(&mut endpoint).await);
    // Nor does one over which something has come, or that the endpoint has closed, or that is not to rest.
    let (mut lent, mut endpoint) = lend(IDLE);
    endpoint.write_all(b"xy").await.unwrap();
    assert!(!asks(&mut lent).await);
    drop(lent);
    let (mut lent, closed) = lend(IDLE);
    drop(closed);
    assert!(!asks(&mut lent).await);
    drop(lent);
    let (mut lent, _kept) = lend(Duration::ZERO);
    assert!(!asks(&mut lent).await);
    drop(lent);
    assert!(resting.take(1).is_none());
}
