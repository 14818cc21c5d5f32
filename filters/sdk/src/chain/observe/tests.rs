use http::{HeaderValue, StatusCode, header};

use crate::testing::{Seen, probe, refusal};
use crate::{
    Abort, Attempt, Build, Bytes, Chunk, Deserialize, Filter, Flow, Identity, Invalid, JsonSchema,
    Reply, Request, Response,
};

/// Changes whatever it can, and ends the exchange where it is told to.
struct Meddler(Where);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    ends: Where,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Where {
    Nowhere,
    Request,
    Answer,
    Panic,
    RequestBody,
    ResponseBody,
    Whole,
    WholeResponse,
}

impl Filter for Meddler {
    const NAME: &'static str = "meddler";
    type Config = Config;
    /// How many pieces it has seen.
    type State = usize;

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(config.ends))
    }

    async fn request(&self, req: &mut Request<'_>, _: &mut usize) -> Flow {
        req.headers_mut().set(&header::FROM, changed());
        let exchange = &mut *req.exchange;
        exchange.upstream = Some("other".into());
        exchange.id = "changed".into();
        exchange.client.address = [192, 0, 2, 99].into();
        exchange.route = "changed".into();
        exchange.params.push(("changed".into(), String::new()));
        exchange.target = "/concealed".parse().unwrap();
        let meddler = Identity {
            name: "meddler".into(),
            ..Identity::default()
        };
        req.exchange.identity = Some(meddler.into());
        req.stream_body();
        match self.0 {
            Where::Request => Err(Reply::problem(StatusCode::FORBIDDEN, "meddled")),
            Where::Answer => Err(Reply::new(StatusCode::NO_CONTENT)),
            Where::Panic => panic!("meddled"),
            Where::Whole => {
                assert_eq!(req.body().await?, "onetwo");
                req.set_body("changed");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn upstream(&self, attempt: &mut Attempt<'_>, _: &mut usize) {
        attempt.headers_mut().set(&header::FROM, changed());
    }

    fn response(&self, res: &mut Response<'_>, _: &mut usize) {
        res.set_status(StatusCode::IM_A_TEAPOT);
        res.headers_mut().set(&header::FROM, changed());
        match self.0 {
            Where::WholeResponse => res.whole_body(),
            _ => res.rewrite_body(),
        }
    }

    async fn response_whole(
        &self,
        res: &mut Response<'_>,
        body: Bytes,
        _: &mut usize,
    ) -> Result<Bytes, Reply> {
        assert_eq!(body, "onetwo");
        res.headers_mut().set(&header::FROM, changed());
        Err(Reply::problem(StatusCode::BAD_GATEWAY, "not_liked"))
    }

    fn request_body(&self, chunk: &mut Chunk, seen: &mut usize) -> Result<(), Reply> {
        *seen += 1;
        chunk.data = Bytes::new();
        let refused = self.0 == Where::RequestBody && *seen == 2;
        let reply = Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_much");
        if refused { Err(reply) } else { Ok(()) }
    }

    fn response_body(&self, chunk: &mut Chunk, _: &mut usize) -> Result<(), Abort> {
        chunk.data = Bytes::new();
        let reason = "cut";
        if self.0 == Where::ResponseBody {
            return Err(Abort { reason });
        }
        Ok(())
    }
}

fn changed() -> HeaderValue {
    HeaderValue::from_static("changed")
}

async fn send(ends: &str) -> Seen {
    let filter = probe::<Meddler>(&format!("{{ ends: {ends}, mode: observe }}"));
    let pieces = ["one", "two"].map(Bytes::from);
    let call = filter.request("POST", "/").pieces(pieces.clone());
    call.answer_body(pieces).send().await
}

#[tokio::test]
async fn nothing_that_an_observed_filter_does_leaves_it() {
    for (ends, why) in [
        ("nowhere", None),
        ("request", Some("meddled")),
        ("answer", Some("answered")),
        ("panic", Some("filter_panicked")),
        ("request_body", Some("too_much")),
        ("response_body", Some("cut")),
        ("whole", None),
        ("whole_response", Some("not_liked")),
    ] {
        let seen = send(ends).await;
        assert_eq!(seen.observed, why, "{ends}");
        assert_eq!((seen.status(), seen.aborted), (200, None), "{ends}");
        assert!(seen.reply.is_none(), "{ends}");
        assert!(!seen.request.headers.contains_key("from"), "{ends}");
        assert_eq!(seen.header("from"), None, "{ends}");
        assert_eq!(seen.header("content-length"), Some("6"), "{ends}");
        assert_eq!(seen.request_body, "onetwo", "{ends}");
        assert_eq!(seen.response_body, "onetwo", "{ends}");
        let exchange = &seen.exchange;
        assert_eq!(exchange.upstream, None, "{ends}");
        assert_ne!(&*exchange.id, "changed", "{ends}");
        assert_ne!(exchange.client.address.to_string(), "192.0.2.99", "{ends}");
        assert_ne!(&*exchange.route, "changed", "{ends}");
        assert!(exchange.params.is_empty(), "{ends}");
        assert_eq!(
            exchange.target, "/concealed",
            "{ends}: what it conceals is concealed"
        );
    }
}

#[tokio::test]
async fn who_is_calling_stays_unless_it_was_known() {
    assert_eq!(
        &*send("nowhere").await.exchange.identity.unwrap().name,
        "meddler"
    );
    let filter = probe::<Meddler>("{ ends: nowhere, mode: observe }");
    let seen = filter.get("/").identity("ann").send().await;
    assert_eq!(&*seen.exchange.identity.unwrap().name, "ann");
}

#[tokio::test]
async fn an_enforced_filter_does_as_it_says() {
    for options in ["{ ends: request, mode: enforce }", "ends: request"] {
        let seen = probe::<Meddler>(options).get("/").send().await;
        assert_eq!((seen.reason(), seen.observed), (Some("meddled"), None));
    }
}

#[test]
fn a_mode_is_one_of_two_and_not_for_what_answers() {
    let said = refusal::<Meddler>("{ ends: request, mode: watch }");
    assert!(
        said.starts_with("1:24: unknown value `watch`, expected"),
        "{said}"
    );
    assert_eq!(
        refusal::<Answers>("{ ends: request, mode: observe }"),
        "1:24: `answers` answers every request, so that there is nothing to observe"
    );
    drop(probe::<Answers>("{ ends: request, mode: enforce }"));
}

struct Answers;

impl Filter for Answers {
    const NAME: &'static str = "answers";
    const ANSWERS: bool = true;
    type Config = Config;
    type State = ();

    fn build(_: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Err(Reply::new(StatusCode::NO_CONTENT))
    }
}

/// Wants the whole of both bodies, and says so where it does not get one.
struct Reader;

impl Filter for Reader {
    const NAME: &'static str = "reader";
    type Config = Config;
    type State = ();

    fn build(_: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        req.stream_body();
        let lost = req.body().await.is_err();
        assert!(lost, "it is too large");
        Ok(())
    }

    fn request_body(&self, _: &mut Chunk, (): &mut ()) -> Result<(), Reply> {
        panic!("it is told nothing more of the body");
    }
}

#[tokio::test]
async fn who_cannot_have_a_body_goes_without() {
    for (mode, status, observed) in [
        ("observe", 200, Some("body_too_large")),
        ("enforce", 413, None),
    ] {
        let filter = probe::<Reader>(&format!("{{ ends: nowhere, mode: {mode} }}"));
        let pieces = ["one", "two"].map(Bytes::from);
        let seen = filter.request("POST", "/").stream(pieces).within(5);
        let seen = seen.send().await;
        assert_eq!((seen.status(), seen.observed), (status, observed), "{mode}");
        if mode == "observe" {
            assert_eq!(seen.request_body, "onetwo");
            assert!(!seen.request.headers.contains_key(header::CONTENT_LENGTH));
        }
    }
}
