//! Which protocol an endpoint chooses where it may (`protocol: negotiate`).

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What an endpoint chose last (ALPN). All workers write to it.
#[derive(Debug, Default)]
pub(super) struct Settled(AtomicU8);

// Nothing else is known before it was asked: 0.
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;
/// It chooses HTTP/2, but does not get along with it: it is not offered any more.
const ONLY_HTTP1: u8 = 3;

impl Settled {
    /// It has chosen between the two.
    pub(super) fn chose(&self, http2: bool) {
        let (before, now) = (self.0.load(Relaxed), if http2 { HTTP2 } else { HTTP1 });
        if before != now && before != ONLY_HTTP1 {
            // Where another worker has just found out something else, one is as good as the other.
            let _ = self.0.compare_exchange(before, now, Relaxed, Relaxed);
        }
    }

    /// HTTP/2 is not offered to it again.
    pub(super) fn give_up_http2(&self) {
        self.0.store(ONLY_HTTP1, Relaxed);
    }

    pub(super) fn is_only_http1(&self) -> bool {
        self.0.load(Relaxed) == ONLY_HTTP1
    }

    pub(super) fn is_http1(&self) -> bool {
        [HTTP1, ONLY_HTTP1].contains(&self.0.load(Relaxed))
    }

    pub(super) fn is_http2(&self) -> bool {
        self.0.load(Relaxed) == HTTP2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_choice_counts_until_http2_is_given_up() {
        let settled = Settled::default();
        assert!(!settled.is_http1() && !settled.is_http2());
        for http2 in [true, false, true] {
            settled.chose(http2);
            assert_eq!((settled.is_http1(), settled.is_http2()), (!http2, http2));
            assert!(!settled.is_only_http1());
        }
        settled.give_up_http2();
        settled.chose(true);
        assert!(settled.is_only_http1() && settled.is_http1() && !settled.is_http2());
    }
}
