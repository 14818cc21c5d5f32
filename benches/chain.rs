//! What the chain itself costs: ten filters that do nothing, all hooks, one exchange.

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use wiregate::chain::{Entered, Slots};
use wiregate::testing::{exchange, request_head, response_head};
use wiregate::views::{Inbound, Read};
use wiregate::{
    Build, Bytes, Chain, Deserialize, Filter, Flow, Invalid, JsonSchema, Link, Origin, Outcome,
    Request, RequestHead, Response,
};

fn main() {
    divan::main();
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

struct Noop;

impl Filter for Noop {
    const NAME: &'static str = "noop";
    type Config = Nothing;
    type State = ();

    fn build(_: Nothing, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        black_box(req.method());
        Ok(())
    }
}

struct Inner(RequestHead);

impl Inbound for Inner {
    fn head(&self) -> &RequestHead {
        &self.0
    }

    fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.0
    }

    fn read_body<'a>(&'a mut self, _: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async { Ok(Bytes::new()) })
    }

    fn copy_body<'a>(&'a mut self, _: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async { Ok(Bytes::new()) })
    }

    fn replace_body<'a>(&'a mut self, _: Bytes, _: &'a mut Entered<'_>) -> Read<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// The request, response and done hooks of that many filters.
#[divan::bench(args = [0, 1, 10])]
fn noop_filters(bencher: Bencher<'_, '_>, filters: usize) {
    let link = |i| Link::new(format!("noop{i}"), String::new(), Noop);
    let chain = Chain {
        links: (0..filters).map(link).collect(),
        on_panic: None,
        watch: None,
    };
    let mut inbound = Inner(request_head("GET", "/"));
    let request_head = inbound.0.clone();
    let mut response_head = response_head(200);
    let mut exchange = exchange(&request_head);
    bencher.bench_local(|| {
        let mut slots = Slots::new();
        let entered = chain.request(&mut exchange, &mut inbound, &mut slots, |_| {});
        let entered = entered.now_or_never();
        assert!(matches!(entered, Some(Ok(()))));
        let origin = Origin::Upstream;
        let mut view = Response::new(&mut exchange, &request_head, &mut response_head, origin);
        assert!(chain.response(&mut view, &mut slots, false).is_ok());
        let outcome = Outcome {
            exchange: &exchange,
            status: None,
            origin,
            error: None,
            duration: std::time::Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
        };
        chain.done(&outcome, &mut slots);
    });
}
