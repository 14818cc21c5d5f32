//! What processes hold, and whether that grows.

use super::super::Process;

/// Resident memory in kB, and descriptors, of a process.
pub fn holds(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let memory = line.trim().trim_end_matches(" kB").parse().unwrap();
    (memory, Process(pid).keep().descriptors())
}

/// A process that reloads again and again holds no more in the last fifth of that time than in the second
/// one, but for a tenth: what is under way differs.
pub fn is_flat(held: &[(u64, usize)]) {
    let fifth = held.len() / 5;
    let of = |part: &[(u64, usize)]| {
        let memory: u64 = part.iter().map(|held| held.0).sum();
        let descriptors: usize = part.iter().map(|held| held.1).sum();
        (memory / part.len() as u64, descriptors / part.len())
    };
    let (early, late) = (of(&held[fifth..2 * fifth]), of(&held[4 * fifth..]));
    assert!(
        late.0 < early.0 + early.0 / 10 + (4 << 10) && late.1 < early.1 + 8,
        "memory (kB) and descriptors: {early:?} became {late:?}: {held:?}"
    );
}
