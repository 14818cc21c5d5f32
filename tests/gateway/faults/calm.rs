//! What a fault must not do: disturb others, or leave something behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::idle;
use crate::harness::{Gateway, until};
use crate::peers::Client;

/// Nobody else waits longer than this, however busy the machine is.
const LATE: Duration = Duration::from_secs(3);
/// How much the process may have grown by when all is over, in kB.
const GROWTH: u64 = 4 * 1024;

/// Does this while another client asks for `path` again and again on a connection of its own.
pub fn beside<T>(gateway: &Gateway, path: &str, fault: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut client = Client::new(gateway);
            let (mut served, mut slowest) = (0, Duration::ZERO);
            while !over.load(Ordering::SeqCst) || served < 3 {
                let start = Instant::now();
                let got = client.try_get(path).expect("another client is served");
                assert_eq!(got.status, 200, "another client: {}", got.head);
                (served, slowest) = (served + 1, slowest.max(start.elapsed()));
                std::thread::park_timeout(Duration::from_millis(20));
            }
            assert!(slowest < LATE, "another client has waited for {slowest:?}");
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(fault));
        over.store(true, Ordering::SeqCst);
        other.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Has something go wrong again and again, beside another client, and sees that nothing is left
/// behind: no descriptors, no memory, nothing in flight.
pub fn leaves_nothing(gateway: &Gateway, what: &str, rounds: usize, mut fault: impl FnMut()) {
    beside(gateway, "/well", || {
        // What all share is there then.
        (0..rounds.div_ceil(4)).for_each(|_| fault());
        idle(gateway);
        let descriptors = gateway.descriptors();
        let grown = || {
            let before = gateway.status("VmRSS");
            (0..rounds).for_each(|_| fault());
            idle(gateway);
            let open = || gateway.descriptors();
            until(&format!("{what}: descriptors are back"), || {
                open() <= descriptors + 1
            });
            gateway.status("VmRSS").saturating_sub(before)
        };
        // What leaks does so each time; what the allocator keeps once more, as threads take turns otherwise, does not.
        let mut each = std::iter::repeat_with(grown).take(3);
        let least = each.find(|grown| *grown < GROWTH);
        assert!(
            least.is_some(),
            "{what}: more than {GROWTH} kB are left behind, three times"
        );
    });
}
