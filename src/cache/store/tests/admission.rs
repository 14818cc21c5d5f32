//! What has to be asked for more than once before it displaces anything.

use super::*;

#[test]
fn what_is_asked_for_once_is_not_admitted_however_long_it_is() {
    let mut random = fastrand::Rng::with_seed(7);
    let of_one_part = [10, 700, 1_024, 1_500, 3_000, 4_090, 5_000, 15_000, 30_000];
    let of_several = [700, 5_000].map(|length| (16 * MIB, length));
    let of_one_part = of_one_part.map(|length| (4 * MIB, length));
    for (memory, length) in of_one_part.into_iter().chain(of_several) {
        let store = store(memory);
        for number in 0..3 * memory / (length + 1_000) {
            let body = bytes(1, random.usize(length / 2..=length));
            let lead = lead(&store, &format!("http://a/{number}"));
            lead.store(meta(&[]), &body, Duration::ZERO).unwrap();
        }
        let Figures {
            evicted, rejected, ..
        } = store.figures();
        assert!(
            rejected * 100 > evicted * 95,
            "{memory}, {length}: {rejected} of {evicted}"
        );
    }
}
