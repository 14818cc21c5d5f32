//! How much memory the process takes, of how much it may.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use wiregate_sdk::types::{Percent, Size};
use wiregate_sdk::value::ShortOrFull;

use crate::config::model::{Memory, Off};
use crate::proxy::Shared;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// After so many looks it is read anew how much there may be: the limit of a control group can
/// change.
const RENEW: u32 = 20;
/// How far below a mark it has to be for that to be left again.
const SLACK: Percent = Percent::new(5);

/// How much memory the process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than the soft mark.
    Low,
    /// At least the soft mark: requests are shed.
    Soft,
    /// At least the hard mark: connections are refused as well.
    Hard,
}

impl Level {
    const ALL: [Self; 3] = [Self::Low, Self::Soft, Self::Hard];

    /// The level of this number, which was one.
    pub(super) fn of(number: u8) -> Self {
        let same = Self::ALL.into_iter().find(|level| *level as u8 == number);
        same.unwrap_or(Self::Low)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "ok",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }

    /// The level with so much in use. A mark is left again somewhat below it, so that what hovers
    /// about it does not change its mind all the time.
    fn with(self, used: u64, limit: u64, memory: &Memory) -> Self {
        let slack = SLACK.of(limit);
        let reached = |mark: Percent, held: bool| {
            let mark = mark.of(limit);
            used >= if held {
                mark.saturating_sub(slack)
            } else {
                mark
            }
        };
        if reached(memory.hard, self == Self::Hard) {
            Self::Hard
        } else if reached(memory.soft, self >= Self::Soft) {
            Self::Soft
        } else {
            Self::Low
        }
    }
}

/// How much there may be before requests are shed: the soft mark. `None` where it is not looked at, or
/// the system does not tell how much memory there is.
pub fn soft_mark(memory: &ShortOrFull<Off, Memory>) -> Option<Mark> {
    let ShortOrFull::Full(memory) = memory else {
        return None;
    };
    let limit = memory
        .limit
        .map_or_else(|| there_is(Path::new("/")), Size::get);
    (limit > 0).then(|| Mark {
        at: Size::bytes(memory.soft.of(limit)),
        share: memory.soft,
        limit: Size::bytes(limit),
    })
}

/// A share of the memory that there may be.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Where it is.
    pub at: Size,
    /// Which share that is.
    pub share: Percent,
    /// Of how much.
    pub limit: Size,
}

/// How much more memory this process and these others may take together so that no requests are shed, in bytes: up to where
/// the soft mark is left again. `None` where that is not looked at, or the system does not tell.
pub fn left_below_soft(memory: &ShortOrFull<Off, Memory>, others: &[u32]) -> Option<u64> {
    let used = resident("self") + others.iter().map(|pid| resident_of(*pid)).sum::<u64>();
    let mark = soft_mark(memory).filter(|_| used > 0)?;
    let slack = SLACK.of(mark.limit.get());
    Some(mark.at.get().saturating_sub(slack).saturating_sub(used))
}

/// Looks at the memory of the process as long as it lives, and at that of the others that are under the same limit: those
/// before it which still finish what they have.
pub async fn look_on(shared: Arc<Shared>, others: impl Fn() -> Vec<u32> + Send) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut present, mut renew, mut blind) = (0, 0, false);
    for turn in 0_usize.. {
        looks.tick().await;
        if renew == 0 {
            (present, renew) = (there_is(Path::new("/")), RENEW);
        }
        renew -= 1;
        let written = shared.live.load().settings.limits.memory.clone();
        let (limit, level) = match written {
            ShortOrFull::Short(_) => (0, Level::Low),
            ShortOrFull::Full(memory) => {
                let limit = memory.limit.map_or(present, Size::get);
                let used = resident("self");
                if limit > 0 && used > 0 {
                    let beside: u64 = others().into_iter().map(resident_of).sum();
                    let level = shared.overload.level();
                    (limit, level.with(used + beside, limit, &memory))
                } else {
                    is_blind(limit, used, &mut blind);
                    (0, Level::Low)
                }
            }
        };
        tell(&shared, limit, level);
        if level >= Level::Soft {
            shared.overload.spill(turn);
        }
    }
}

/// Says that nothing can be told of the memory. Once.
fn is_blind(limit: u64, used: u64, said: &mut bool) {
    if !std::mem::replace(said, true) {
        tracing::error!(
            limit,
            used,
            "the system does not tell how much memory there is and is used: the marks of memory are not looked at"
        );
    }
}

/// Takes a level on, and tells of it where it is another one.
fn tell(shared: &Shared, limit: u64, level: Level) {
    let overload = &shared.overload;
    overload.metrics.show_memory(limit, level);
    let before = Level::of(overload.memory.swap(level as u8, Ordering::Relaxed));
    if before == level {
        return;
    }
    let (used, limit) = (Size::bytes(resident("self")), Size::bytes(limit));
    match level {
        Level::Low => tracing::info!(%used, %limit, "memory is below its marks again"),
        Level::Soft => {
            tracing::warn!(%used, %limit, "memory is beyond its soft mark: requests get a 503");
        }
        Level::Hard => {
            tracing::warn!(%used, %limit, "memory is beyond its hard mark: connections are closed");
        }
    }
}

fn resident_of(pid: u32) -> u64 {
    resident(&pid.to_string())
}

/// The resident memory of a process, in bytes; 0 where the system does not tell.
fn resident(process: &str) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{process}/statm")).ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// How much memory this process may have, in a tree of files like that of the system: as much as the
/// machine has, and no more than its control group allows. 0 where nothing tells.
fn there_is(root: &Path) -> u64 {
    let groups = limits_of_groups(root).into_iter();
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.and_then(|text| {
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    groups.chain(machine).min().unwrap_or(0)
}

/// The limits of the control group of this process and of those above it, in versions 1 and 2.
fn limits_of_groups(root: &Path) -> Vec<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file): (PathBuf, _) = match controllers {
            "" => (root.join("sys/fs/cgroup"), "memory.max"),
            "memory" => (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be that of the host, and the group the top of what is seen.
        let own = mount.join(path.trim_start_matches('/'));
        let above = own
            .ancestors()
            .take_while(|group| group.starts_with(&mount));
        limits.extend(above.filter_map(|group| {
            let text = fs::read_to_string(group.join(file)).ok()?;
            text.trim().parse::<u64>().ok() // `max` is none
        }));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_left_below_where_it_was_reached() {
        let memory = Memory::default();
        let mut level = Level::Low;
        for (used, expected) in [
            (849, Level::Low),
            (850, Level::Soft),
            (801, Level::Soft),
            (800, Level::Soft),
            (799, Level::Low),
            (849, Level::Low),
            (950, Level::Hard),
            (900, Level::Hard),
            (899, Level::Soft),
            (949, Level::Soft),
            (2000, Level::Hard),
            (0, Level::Low),
        ] {
            level = level.with(used, 1000, &memory);
            assert_eq!(level, expected, "{used}");
        }
    }

    #[test]
    fn there_is_as_much_as_the_lowest_limit_allows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(there_is(root), 0);
        write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
        assert_eq!(there_is(root), 16 << 20);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(there_is(root), 16 << 20);
        write("sys/fs/cgroup/a/memory.max", "4194304\n");
        assert_eq!(there_is(root), 4 << 20);
        write("sys/fs/cgroup/a/b/memory.max", "2097152\n");
        assert_eq!(there_is(root), 2 << 20);
        write("proc/self/cgroup", "3:cpu:/x\n2:memory:/elsewhere\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
        assert_eq!(there_is(root), 1 << 20);
    }

    #[test]
    fn what_is_left_below_the_mark_is_left_to_all_processes_together() {
        let of = |limit: u64| {
            ShortOrFull::Full(Memory {
                limit: Some(Size::bytes(limit)),
                ..Memory::default()
            })
        };
        let left = |limit, others: &[u32]| left_below_soft(&of(limit), others);
        let (all, own) = (1 << 40, std::process::id());
        let alone = left(all, &[]).unwrap();
        let mark = Memory::default().soft.of(all) - SLACK.of(all);
        assert!(
            alone < mark && alone > mark - (1 << 34),
            "{alone} of {mark}"
        );
        // The same process once more.
        assert!(left(all, &[own]).unwrap() < alone - (1 << 19));
        assert_eq!(left(1 << 10, &[]), Some(0));
        assert_eq!(left_below_soft(&ShortOrFull::Short(Off::Off), &[]), None);
    }

    #[test]
    fn this_process_takes_memory_and_there_is_some() {
        assert!(resident("self") > 1 << 20, "{}", resident("self"));
        assert!(there_is(Path::new("/")) > resident("self"));
    }
}
