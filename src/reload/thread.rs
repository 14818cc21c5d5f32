//! Work that makes way for the workers: on a thread of its own, with a low priority.

use std::sync::mpsc;
use std::{io, thread};

#[cfg(target_os = "linux")]
use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long such a thread may go on before a worker that has something to do gets the processor, in
/// nanoseconds: the shortest that Linux takes. By its own rule it is some milliseconds.
#[cfg(target_os = "linux")]
const TURN: u64 = 100_000;

/// How nice such a thread is (`sched(7)`). Where a worker wants the same processor, the thread gets
/// about a tenth of it: enough to get on, too little to be felt.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Runs what may block and takes long, on a thread that makes way for all others.
///
/// # Errors
/// No thread could be started, or the work panicked.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new()
        .name("wiregate-reload".into())
        .spawn(move || {
            make_way();
            // Whoever waited may be gone, which does not matter to the work.
            let _ = tell.send(work());
        })?;
    told.await.map_err(|_| io::Error::other("it panicked"))
}

/// Runs what may block and takes long, on a thread that makes way for all others, and waits for it.
///
/// # Errors
/// No thread could be started.
pub fn making_way<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("wiregate-aside".into());
        let working = thread.spawn_scoped(scope, || {
            make_way();
            work()
        })?;
        Ok(working
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Runs what starts threads that are to stay on one that makes way for nobody: they are born with the
/// priority of whoever starts them. `runtime` has a thread that makes way for nobody. Blocks.
///
/// # Errors
/// No thread could be started, or the work panicked.
pub(super) fn usually<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let thread = thread::Builder::new().name("wiregate-open".into());
        // Where it cannot be started, nothing is told.
        let _ = thread.spawn(move || tell.send(work()));
    });
    told.recv()
        .map_err(|_| io::Error::other("there is no thread to do it, or it panicked"))
}

/// Lowers the priority of this thread. Without that the work is done all the same, only less
/// politely.
fn make_way() {
    // Elsewhere this would be about the whole process.
    #[cfg(target_os = "linux")]
    {
        let lower = |now: i32| setpriority_process(None, now.max(NICE));
        if let Err(error) = getpriority_process(None).and_then(lower) {
            tracing::debug!(%error, "the priority of a thread cannot be lowered");
        }
        if let Err(error) = take_turns_of(TURN) {
            tracing::debug!(%error, "the turns of a thread cannot be shortened");
        }
    }
}

/// Shortens the turns of this thread (`sched_setattr(2)`), and leaves its priority as it is. Linux
/// before 6.12 takes no notice; before 6.6 a thread with a low priority makes way at once anyway.
#[cfg(target_os = "linux")]
fn take_turns_of(nanoseconds: u64) -> io::Result<()> {
    let size = u32::try_from(size_of::<libc::sched_attr>()).expect("a few dozen bytes");
    let attributes = libc::sched_attr {
        size,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: getpriority_process(None)?,
        sched_priority: 0,
        sched_runtime: nanoseconds,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes of a structure that lives across the call, and nothing
    // else; thread 0 is the one that calls.
    #[allow(unsafe_code)]
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_can_be_shortened_and_the_priority_stays() {
        let nice = aside(|| {
            take_turns_of(TURN).unwrap();
            getpriority_process(None).unwrap()
        });
        assert!(nice.await.unwrap() >= NICE);
    }

    #[tokio::test]
    async fn the_work_makes_way_and_nobody_else_does() {
        let before = getpriority_process(None).unwrap();
        let during = aside(|| getpriority_process(None).unwrap()).await.unwrap();
        assert_eq!(during, NICE.max(before));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn work_that_is_waited_for_makes_way_as_well() {
        let before = getpriority_process(None).unwrap();
        let during = making_way(|| getpriority_process(None).unwrap()).unwrap();
        assert_eq!(during, NICE.max(before));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_starts_threads_makes_way_for_nobody() {
        let (before, runtime) = (getpriority_process(None).unwrap(), Handle::current());
        let started = aside(move || {
            let starts = || thread::spawn(|| getpriority_process(None).unwrap());
            let join = |thread: thread::JoinHandle<i32>| thread.join().unwrap();
            (join(starts()), join(usually(&runtime, starts).unwrap()))
        });
        assert_eq!(started.await.unwrap(), (NICE.max(before), before));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let broken = aside(|| panic!("broken")).await;
        assert_eq!(broken.unwrap_err().to_string(), "it panicked");
    }
}
