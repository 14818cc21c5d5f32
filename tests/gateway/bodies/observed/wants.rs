//! Filters that want bodies.

use std::path::PathBuf;
use std::time::Duration;

use wiregate::{
    Build, Bytes, Chunk, Deserialize, Filter, Flow, Invalid, JsonSchema, Reply, Request, Response,
};

use crate::bodies::Nothing;

/// Wants bodies, and does with them what it is told to.
pub struct Wants(Options);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    #[serde(default)]
    how: How,
    /// Shown a response, it waits until this file is there.
    #[serde(default)]
    file: PathBuf,
}

#[derive(Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum How {
    /// The whole of a request.
    #[default]
    Whole,
    /// The same, for a moment.
    Shortly,
    /// A request piece by piece, up to the second one, which it panics at.
    Panics,
    /// Another one in the place of a request's, which it does not look at.
    Puts,
    /// The whole of a response.
    Response,
}

impl Filter for Wants {
    const NAME: &'static str = "wants";
    type Config = Options;
    type State = usize;

    fn build(options: Options, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(options))
    }

    async fn request(&self, req: &mut Request<'_>, _: &mut usize) -> Flow {
        match self.0.how {
            How::Whole => {
                req.exchange.target = http::Uri::from_static("/concealed");
                drop(req.body().await?);
            }
            How::Shortly => {
                let shortly = Duration::from_millis(50);
                let _ = tokio::time::timeout(shortly, req.body()).await;
            }
            How::Panics => req.stream_body(),
            How::Puts => req.set_body("put"),
            How::Response => {}
        }
        Ok(())
    }

    fn request_body(&self, _: &mut Chunk, seen: &mut usize) -> Result<(), Reply> {
        *seen += 1;
        assert_ne!(*seen, 2, "as it is told");
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, _: &mut usize) {
        if self.0.how == How::Response {
            res.whole_body();
        }
    }

    async fn response_whole(
        &self,
        _: &mut Response<'_>,
        body: Bytes,
        _: &mut usize,
    ) -> Result<Bytes, Reply> {
        while !self.0.file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(body)
    }
}

/// Keeps what passes until there is no more, and puts it in brackets.
pub struct Brackets;

impl Filter for Brackets {
    const NAME: &'static str = "brackets";
    type Config = Nothing;
    type State = Vec<u8>;

    fn build(_: Nothing, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, req: &mut Request<'_>, _: &mut Vec<u8>) -> Flow {
        req.stream_body();
        Ok(())
    }

    fn request_body(&self, chunk: &mut Chunk, kept: &mut Vec<u8>) -> Result<(), Reply> {
        kept.extend_from_slice(&chunk.data);
        chunk.data = match chunk.last {
            true => [b"[", &*std::mem::take(kept), b"]"].concat().into(),
            false => Bytes::new(),
        };
        Ok(())
    }
}
