use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Hook, Watch};
use crate::testing::probe;
use crate::{
    Abort, Attempt, Build, Chunk, Clock, Deserialize, Filter, Flow, Invalid, JsonSchema, Outcome,
    Reply, Request, Response,
};

/// Each of its hooks takes as many milliseconds as it has places before it in [`Hook::ALL`], and one.
struct Slow(Clock);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {}

impl Slow {
    fn take(&self, hook: Hook) {
        self.0.advance(Duration::from_millis(hook as u64 + 1));
    }
}

impl Filter for Slow {
    const NAME: &'static str = "slow";
    type Config = Config;
    type State = ();

    fn build(_: Config, cx: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(cx.clock.clone()))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        req.stream_body();
        self.take(Hook::Request);
        Ok(())
    }

    fn upstream(&self, _: &mut Attempt<'_>, (): &mut ()) {
        self.take(Hook::Upstream);
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        res.watch_body();
        self.take(Hook::Response);
    }

    fn request_body(&self, _: &mut Chunk, (): &mut ()) -> Result<(), Reply> {
        self.take(Hook::RequestBody);
        Ok(())
    }

    fn response_body(&self, _: &mut Chunk, (): &mut ()) -> Result<(), Abort> {
        self.take(Hook::ResponseBody);
        Ok(())
    }

    fn done(&self, _: &Outcome<'_>, (): &mut ()) {
        self.take(Hook::Done);
    }
}

/// Measures when it is told to.
struct Notes {
    clock: Clock,
    measures: AtomicBool,
    took: Mutex<Vec<(usize, Hook, u128)>>,
}

impl Watch for Notes {
    fn measures(&self) -> bool {
        self.measures.load(Ordering::Relaxed)
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }

    fn took(&self, link: usize, hook: Hook, time: Duration) {
        self.took
            .lock()
            .unwrap()
            .push((link, hook, time.as_millis()));
    }
}

#[tokio::test]
async fn every_hook_of_a_measured_exchange_is_told() {
    let probe = probe::<Slow>("{}");
    let notes = Arc::new(Notes {
        clock: probe.clock().clone(),
        measures: AtomicBool::new(false),
        took: Mutex::default(),
    });
    let probe = probe.watched(notes.clone());
    let call = || {
        let call = probe.request("POST", "/").body("one");
        call.answer_body(["two".into()])
    };
    call().send().await;
    assert!(notes.took.lock().unwrap().is_empty());
    notes.measures.store(true, Ordering::Relaxed);
    call().send().await;
    let took = std::mem::take(&mut *notes.took.lock().unwrap());
    for hook in Hook::ALL {
        let of_hook: Vec<_> = took.iter().filter(|(_, told, _)| *told == hook).collect();
        assert!(!of_hook.is_empty(), "{hook:?}: {took:?}");
        for told in of_hook {
            assert_eq!(
                (told.0, told.2),
                (0, hook as u128 + 1),
                "{hook:?}: {took:?}"
            );
        }
    }
}
