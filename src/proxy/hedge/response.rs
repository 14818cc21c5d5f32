//! A response that did not come by way of Pingora's proxy, on its way to the client.

use http::{Method, StatusCode, Version, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::super::context::Context;
use super::super::session::gone;
use super::leg::within;
use super::source::Source;

/// So many parts that are there already are written together, as Pingora does.
const TOGETHER: usize = 4;

impl Context {
    /// Passes a response on to the client, beginning with this part.
    ///
    /// # Errors
    /// The endpoint's, the client's, or a filter's.
    pub(in crate::proxy) async fn pass_on(
        &mut self,
        session: &mut ServerSession,
        source: &mut Source,
        first: HttpTask,
    ) -> Result<()> {
        let (mut next, http2) = (first, source.is_http2());
        loop {
            let (mut tasks, mut end) = (Vec::with_capacity(TOGETHER), false);
            loop {
                end |= next.is_end();
                tasks.push(self.filter(session, next, http2)?);
                if end || tasks.len() == TOGETHER {
                    break;
                }
                match source.next_at_once().await {
                    Some(Ok(task)) => next = task,
                    Some(Err(error)) => {
                        // What came before it is written first.
                        tasks.push(HttpTask::Failed(error.into_up()));
                        break;
                    }
                    None => break,
                }
            }
            end |= session.response_duplex_vec(tasks).await?;
            if end {
                return session.finish_body().await.map(drop);
            }
            next = self.next(session, source).await?;
        }
    }

    /// The next part of a response, unless the client leaves.
    pub(in crate::proxy) async fn next(
        &self,
        session: &mut ServerSession,
        source: &mut Source,
    ) -> Result<HttpTask> {
        let (watched, unanswered) = (session.is_body_done(), self.attempts.started.is_some());
        let part = async {
            match unanswered && !self.attempts.timed {
                true => within(self.attempts.times.first_byte, source.next()).await,
                false => source.next().await,
            }
        };
        tokio::select! {
            biased;
            part = part => part.map_err(|error| error.into_up()),
            gone = gone(session), if watched => Err(gone),
        }
    }

    fn filter(
        &mut self,
        session: &mut ServerSession,
        task: HttpTask,
        http2: bool,
    ) -> Result<HttpTask> {
        Ok(match task {
            HttpTask::Header(mut head, end) => {
                if self.attempts.started.is_some() {
                    self.upstream_head(session, &mut head)?;
                }
                if http2 {
                    self.response_head(session, &mut head)?;
                    head.set_version(Version::HTTP_11);
                    self.chunk(&mut head)?;
                } else {
                    if !end && !head.headers.contains_key(header::TRANSFER_ENCODING) {
                        self.chunk(&mut head)?;
                    }
                    self.response_head(session, &mut head)?;
                }
                HttpTask::Header(head, end)
            }
            HttpTask::Body(mut data, end) => {
                self.response_body(&mut data, end)?;
                HttpTask::Body(data, end)
            }
            HttpTask::Trailer(trailers) => match self.response_trailers()? {
                Some(rest) => HttpTask::Body(Some(rest), true),
                None => HttpTask::Trailer(trailers),
            },
            other => other,
        })
    }

    /// A body of unknown length is sent in chunks (RFC 9112, 7.1).
    fn chunk(&self, head: &mut ResponseHeader) -> Result<()> {
        let bodiless = self.exchange.method == Method::HEAD
            || head.status.is_informational()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        if !bodiless && !head.headers.contains_key(header::CONTENT_LENGTH) {
            head.set_version(Version::HTTP_11);
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(())
    }
}
