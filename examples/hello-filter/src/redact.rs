//! `redact`: blacks out a word in responses.

use wiregate_sdk::header::{ACCEPT_ENCODING, CONTENT_ENCODING, RANGE};
use wiregate_sdk::{
    Abort, Attempt, Build, Chunk, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema,
    Request, Response,
};

/// Blacks out a word in responses: each of its bytes becomes a `*`.
///
/// The word is looked for in bodies of every type. Upstreams are asked for whole bodies without a
/// coding; one that has a coding nevertheless is cut, as the word may be in it.
///
/// ```yaml
/// - redact: hunter2
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(String);

/// The running form of `redact`.
pub struct Redact {
    word: Vec<u8>,
}

/// A response body on its way.
#[derive(Default)]
pub struct State {
    /// The end of the last piece, with which the word may begin.
    held: Vec<u8>,
    coded: bool,
}

impl Filter for Redact {
    const NAME: &'static str = "redact";
    type Config = Config;
    type State = State;

    fn build(Config(word): Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        if word.is_empty() {
            return Err(Invalid::new("expected a word, found nothing"));
        }
        Ok(Self { word: word.into() })
    }

    async fn request(&self, _: &mut Request<'_>, _: &mut State) -> Flow {
        Ok(())
    }

    fn upstream(&self, attempt: &mut Attempt<'_>, _: &mut State) {
        let none = HeaderValue::from_static("identity");
        attempt.headers_mut().set(&ACCEPT_ENCODING, none);
        attempt.headers_mut().remove(&RANGE);
    }

    fn response(&self, res: &mut Response<'_>, state: &mut State) {
        state.coded = res.headers().contains_key(CONTENT_ENCODING);
        res.rewrite_body();
    }

    fn response_body(&self, chunk: &mut Chunk, state: &mut State) -> Result<(), Abort> {
        if state.coded {
            return Err(Abort {
                reason: "coded_response",
            });
        }
        let State { held, .. } = state;
        held.extend_from_slice(&chunk.data);
        let mut read = 0;
        while let Some(start) = self.find(&held[read..]) {
            let end = read + start + self.word.len();
            held[read + start..end].fill(b'*');
            read = end;
        }
        let undecided = (held.len() - read).min(self.word.len() - 1);
        let ready = if chunk.last {
            held.len()
        } else {
            held.len() - undecided
        };
        chunk.data = held.drain(..ready).collect();
        Ok(())
    }
}

impl Redact {
    fn find(&self, text: &[u8]) -> Option<usize> {
        text.windows(self.word.len())
            .position(|part| part == self.word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wiregate_sdk::Bytes;
    use wiregate_sdk::testing::{probe, refusal};

    use super::*;

    #[tokio::test]
    async fn finds_the_word_across_pieces() {
        let filter = probe::<Redact>("hunter2");
        let pieces = ["my password is hun", "", "ter", "2, hunter3"].map(Bytes::from);
        let seen = filter.get("/").answer_body(pieces).send().await;
        assert_eq!(seen.response_body, "my password is *******, hunter3");
        assert_eq!(seen.header("content-length"), None);
    }

    #[tokio::test]
    async fn cuts_what_it_cannot_read() {
        let filter = probe::<Redact>("hunter2");
        let call = filter
            .get("/")
            .header("accept-encoding", "gzip")
            .header("range", "bytes=0-3");
        let call = call.answer_header("content-encoding", "gzip");
        let seen = call.answer_body([Bytes::from("…")]).send().await;
        assert_eq!(seen.request.headers["accept-encoding"], "identity");
        assert!(!seen.request.headers.contains_key("range"));
        assert_eq!(seen.aborted, Some("coded_response"));
        assert_eq!(seen.response_body, "");
    }

    #[test]
    fn needs_a_word() {
        assert_eq!(
            refusal::<Redact>("''"),
            "1:1: expected a word, found nothing"
        );
    }

    proptest! {
        #[test]
        fn where_the_body_is_cut_does_not_matter(pieces in prop::collection::vec("[ab]{0,5}", 0..8)) {
            let filter = Redact { word: b"aba".to_vec() };
            let mut state = State::default();
            let mut out = Vec::new();
            for (position, piece) in pieces.iter().enumerate() {
                let last = position + 1 == pieces.len();
                let mut chunk = Chunk { data: Bytes::from(piece.clone()), last };
                filter.response_body(&mut chunk, &mut state).unwrap();
                out.extend_from_slice(&chunk.data);
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), pieces.concat().replace("aba", "***"));
        }
    }
}
