//! Counts go over to the process that takes this one's place: the cells of the keys of which most is
//! used, and what they mean.
//!
//! Times stay what they are, since the monotonic clock is one for all processes of a machine. So do the
//! hashes of keys, by the secret that goes along; that both processes hash alike is tried on a probe.

use std::sync::OnceLock;

use wiregate_sdk::Clock;
use wiregate_sdk::build::Portable;

use super::local::{Basis, Local};

/// No clock goes beyond this, in ticks since 1970: the year 2262. Whatever limits add to it fits into 64 bits.
const LATEST: u64 = u64::MAX / 2;

/// The version of this form, in the first byte.
const VERSION: u8 = 2;
/// What is hashed to see whether both processes do it alike.
const PROBE: &str = "wiregate";
/// Numbers before the rows: the cells of a key, the secret, the probe, the epoch, and the tick from which
/// seconds are counted.
const HEAD: usize = 6;
const NUMBER: usize = size_of::<u64>();
/// What a row has before its cells: the key's hash, and from when on nothing is used.
const ROW: usize = NUMBER + size_of::<u32>();

impl Portable for Local {
    fn pack(&self, room: usize) -> Vec<u8> {
        let Some(basis) = self.basis.get() else {
            return Vec::new(); // nobody was counted
        };
        let row = ROW + self.table.width() * NUMBER;
        let most = room.saturating_sub(1 + HEAD * NUMBER) / row;
        let mut packed = vec![VERSION];
        for number in [
            self.table.width() as u64,
            basis.secret[0],
            basis.secret[1],
            basis.hash(PROBE),
            basis.epoch,
            basis.since,
        ] {
            packed.extend(number.to_le_bytes());
        }
        let now = basis.seconds(basis.tick(self.clock.instant()));
        let show = |key: u64, whole_at: u32, cells: &[u64]| {
            packed.extend(key.to_le_bytes());
            packed.extend(whole_at.to_le_bytes());
            packed.extend(cells.iter().flat_map(|cell| cell.to_le_bytes()));
        };
        let count = self.table.show_most_used(now, most, show);
        if count > most {
            tracing::warn!(
                clients = count,
                handed_over = most,
                "not all counts of a rate limit go over to the new process"
            );
        }
        packed
    }

    fn take_in(&self, packed: &[u8]) {
        if packed.is_empty() {
            return;
        }
        if let Err(why) = self.take(packed) {
            tracing::warn!(why, "counts of a rate limit are left out");
        }
    }
}

impl Local {
    fn take(&self, packed: &[u8]) -> Result<(), &'static str> {
        let (theirs, rows) = head(packed, self.table.width(), &self.clock)?;
        let now = theirs.tick(self.clock.instant());
        if now > LATEST || theirs.since > now {
            return Err("they are of a time that has not come");
        }
        let basis = settle(&self.basis, theirs)?;
        let now = basis.seconds(now);
        let (mut cells, mut all) = (vec![0; self.table.width()], true);
        for row in rows.chunks_exact(ROW + cells.len() * NUMBER) {
            let (key, rest) = row.split_at(NUMBER);
            let (whole_at, rest) = rest.split_at(ROW - NUMBER);
            let whole_at = u32::from_le_bytes(whole_at.try_into().expect("four bytes"));
            if whole_at > now {
                let numbers = rest.chunks_exact(NUMBER).map(number);
                cells
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(cell, it)| *cell = it);
                all &= self.table.put(number(key), whole_at, &cells);
            }
        }
        if all {
            Ok(())
        } else {
            Err("there is no room for some of them")
        }
    }
}

/// What the numbers in front say, and the rows.
fn head<'p>(
    packed: &'p [u8],
    width: usize,
    clock: &Clock,
) -> Result<(Basis, &'p [u8]), &'static str> {
    let (VERSION, rest) = packed
        .split_first()
        .map_or((0, packed), |(it, rest)| (*it, rest))
    else {
        return Err("they are of another version");
    };
    let (head, rows) = (rest.split_at_checked(HEAD * NUMBER)).ok_or("they are cut off")?;
    let numbers: Vec<u64> = head.chunks_exact(NUMBER).map(number).collect();
    let [cells, first, second, probe, epoch, since] = numbers[..] else {
        return Err("they are cut off");
    };
    if cells != width as u64 {
        return Err("they are of other limits");
    }
    if rows.len() % (ROW + width * NUMBER) != 0 {
        return Err("they are cut off");
    }
    let basis = Basis::new([first, second], epoch, since, clock);
    if basis.hash(PROBE) != probe {
        return Err("the former process hashes otherwise");
    }
    Ok((basis, rows))
}

/// Goes by what the former process went by, unless requests were counted here before.
fn settle(own: &OnceLock<Basis>, theirs: Basis) -> Result<&Basis, &'static str> {
    let secret = theirs.secret;
    let basis = own.get_or_init(|| theirs);
    if basis.secret == secret {
        Ok(basis)
    } else {
        Err("this process has begun to count already")
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}
