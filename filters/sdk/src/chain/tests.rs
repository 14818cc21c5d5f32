use crate::chain::{Chain, Slot, has_length};
use crate::header::CONTENT_LENGTH;
use crate::testing::{exchange, probe, request_head, response_head};
use crate::views::{Claim, Origin};
use crate::{
    Build, Bytes, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request,
    Response,
};

/// Has to do without something at one of its hooks, or breaks.
struct Lacking(At);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    at: At,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum At {
    Request,
    Response,
    Whole,
    Panic,
}

impl Filter for Lacking {
    const NAME: &'static str = "lacking";
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(config.at))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        if self.0 == At::Request {
            req.degraded("missing");
        }
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        match self.0 {
            At::Request => {}
            At::Response => res.degraded("missing"),
            At::Whole => res.whole_body(),
            At::Panic => {
                res.rewrite_body();
                panic!("broken");
            }
        }
    }

    async fn response_whole(
        &self,
        res: &mut Response<'_>,
        body: Bytes,
        (): &mut (),
    ) -> Result<Bytes, Reply> {
        res.degraded("missing");
        Ok(body)
    }
}

#[tokio::test]
async fn what_a_link_does_without_is_known_from_every_hook() {
    for mode in ["enforce", "observe"] {
        for at in ["request", "response", "whole"] {
            let filter = probe::<Lacking>(&format!("{{ at: {at}, mode: {mode} }}"));
            let call = filter.get("/").answer_body(["body".into()]);
            let seen = call.send().await;
            assert_eq!(seen.degraded, Some("missing"), "{mode} {at}");
            assert_eq!((seen.status(), &*seen.response_body), (200, &b"body"[..]));
        }
    }
}

#[test]
fn a_hook_that_is_passed_over_claims_nothing() {
    let probe = probe::<Lacking>("{ at: panic }");
    let chain: &Chain = &probe.chain;
    let (request, mut head) = (request_head("GET", "/"), response_head(503));
    let mut exchange = exchange(&request);
    let mut res = Response::new(&mut exchange, &request, &mut head, Origin::Gateway);
    let mut slots = [Slot {
        state: Box::new(()),
        request_claim: Claim::None,
        response_claim: Claim::Watch, // of a response in whose place this one is
        observed: None,
        degraded: None,
        had_whole: false,
        gathering: None,
        measured: false,
    }];
    assert!(matches!(
        chain.response(&mut res, &mut slots, true),
        Ok(None)
    ));
    assert_eq!(Chain::response_claim(&slots), Claim::None);
}

#[test]
fn a_length_is_told_once_and_plainly_or_it_is_told_anew() {
    let told = |values: &[&'static str]| {
        let mut head = response_head(200);
        for value in values {
            let value = HeaderValue::from_static(value);
            head.headers.append(CONTENT_LENGTH, value);
        }
        has_length(&head.headers, 10)
    };
    assert!(told(&["10"]));
    for other in [&["010"][..], &["+10"], &["1"], &["100"], &["10", "10"], &[]] {
        assert!(!told(other), "{other:?}");
    }
}
