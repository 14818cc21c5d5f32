//! What the answers about the IPv4 and IPv6 addresses of a name say together.

use std::net::IpAddr;
use std::time::Instant;

use super::{Answer, Failure, Hosts};

/// The answer about the addresses of one family.
#[derive(Clone, Debug)]
pub(super) enum Family {
    /// At least one, good until then.
    Found(Vec<IpAddr>, Instant),
    /// There are none.
    Nothing,
    /// There is no telling.
    Failed(Failure),
}

/// Both families together, IPv4 first. Where one of them failed and the other did not, the
/// addresses that the failed one had stay, and are asked for again soon.
///
/// # Errors
/// Where neither has an address.
pub(super) fn merge(
    families: [Family; 2],
    last: Option<&Hosts>,
    now: Instant,
) -> Result<Answer<Hosts>, Failure> {
    let mut all = Vec::new();
    let (mut until, mut failure) = (None::<Instant>, Failure::Empty);
    let mut found_any = false;
    for (family, is_v4) in families.into_iter().zip([true, false]) {
        let end = match family {
            Family::Found(addresses, end) => {
                found_any = true;
                all.extend(addresses);
                end
            }
            Family::Nothing => continue,
            Family::Failed(why) => {
                failure = why;
                let had = last.map_or(&[][..], |hosts| &hosts.0);
                let before = all.len();
                all.extend(had.iter().filter(|ip| ip.is_ipv4() == is_v4));
                if all.len() == before {
                    continue;
                }
                now
            }
        };
        until = Some(until.map_or(end, |until| until.min(end)));
    }
    let Some(until) = until.filter(|_| found_any) else {
        return Err(failure);
    };
    // Servers turn their answers round; that is no change.
    all.sort_unstable();
    all.dedup();
    Ok(Answer {
        found: Hosts(all),
        until,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(addresses: &[&str], end: Instant) -> Family {
        Family::Found(addresses.iter().map(|a| a.parse().unwrap()).collect(), end)
    }

    #[test]
    fn takes_both_families_until_the_first_ttl_ends() {
        let now = Instant::now();
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let families = [
            found(&["10.0.0.2", "10.0.0.1"], later),
            found(&["::1"], soon),
        ];
        let answer = merge(families, None, now).unwrap();
        let expected = ["10.0.0.1", "10.0.0.2", "::1"].map(|a| a.parse().unwrap());
        assert_eq!(
            (answer.found.0.as_slice(), answer.until),
            (&expected[..], soon)
        );
        let one = merge([found(&["10.0.0.1"], later), Family::Nothing], None, now).unwrap();
        assert_eq!((one.found.0.len(), one.until), (1, later));
    }

    #[test]
    fn a_family_that_fails_keeps_what_it_had() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let last = Hosts(vec!["10.0.0.9".parse().unwrap(), "::9".parse().unwrap()]);
        let half = [
            found(&["10.0.0.1"], later),
            Family::Failed(Failure::Timeout),
        ];
        let answer = merge(half.clone(), Some(&last), now).unwrap();
        let expected = ["10.0.0.1", "::9"].map(|a| a.parse().unwrap());
        assert_eq!(
            (answer.found.0.as_slice(), answer.until),
            (&expected[..], now)
        );
        let answer = merge(half, None, now).unwrap();
        assert_eq!((answer.found.0.len(), answer.until), (1, later));
    }

    #[test]
    fn no_address_at_all_is_a_failure() {
        let now = Instant::now();
        let last = Hosts(vec!["10.0.0.9".parse().unwrap()]);
        let (nothing, failed) = (Family::Nothing, Family::Failed(Failure::Timeout));
        let outcome = merge([nothing.clone(), nothing.clone()], Some(&last), now);
        assert_eq!(outcome, Err(Failure::Empty));
        let outcome = merge([failed, nothing], Some(&last), now);
        assert_eq!(outcome, Err(Failure::Timeout));
    }
}
