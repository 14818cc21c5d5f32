//! What the chain itself costs: ten filters that do nothing, all hooks, one exchange.

use std::future::Future;
use std::pin::Pin;

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use pingora_http::{RequestHeader, ResponseHeader};
use wiregate::chain::Slots;
use wiregate::views::Inbound;
use wiregate::{
    Build, Bytes, Chain, Client, Clock, Deserialize, Exchange, Filter, Flow, Invalid, JsonSchema,
    Link, Origin, Outcome, Reply, Request, Response,
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

struct Inner(RequestHeader);

impl Inbound for Inner {
    fn head(&self) -> &RequestHeader {
        &self.0
    }

    fn head_mut(&mut self) -> &mut RequestHeader {
        &mut self.0
    }

    fn read_body(&mut self) -> Pin<Box<dyn Future<Output = Result<Bytes, Reply>> + Send + '_>> {
        Box::pin(async { Ok(Bytes::new()) })
    }

    fn replace_body(&mut self, _: Bytes) {}
}

/// The request, response and done hooks of that many filters.
#[divan::bench(args = [0, 1, 10])]
fn noop_filters(bencher: Bencher<'_, '_>, filters: usize) {
    let link = |i| Link::new(format!("noop{i}"), String::new(), Noop);
    let chain = Chain {
        links: (0..filters).map(link).collect(),
    };
    let now = Clock::default().now();
    let mut inbound = Inner(RequestHeader::build("GET", b"/", None).expect("valid"));
    let request_head = inbound.0.clone();
    let mut response_head = ResponseHeader::build(200, None).expect("valid");
    let address = [192, 0, 2, 1].into();
    let mut exchange = Exchange {
        id: "".into(),
        now,
        client: Client {
            address,
            peer: address,
            port: 1,
            scheme: "http",
            tls: None,
        },
        method: wiregate::Method::GET,
        target: "/".parse().expect("valid"),
        route: "".into(),
        params: Vec::new(),
        identity: None,
        upstream: None,
    };
    bencher.bench_local(|| {
        let mut slots = Slots::new();
        let mut request = Request::new(&mut exchange, &mut inbound);
        let entered = chain.request(&mut request, &mut slots).now_or_never();
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
