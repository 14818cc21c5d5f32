//! How the bodies of a call go through a filter.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};

use super::response_head;
use crate::chain::{Entered, Slots, Stopped};
use crate::reply::ReplyBody;
use crate::views::{Inbound, Read};
use crate::{Abort, Chain, Chunk, Reply, RequestHead, ResponseHead};

pub(super) fn pass_request_body(
    chain: &Chain,
    slots: &mut Slots,
    passed: usize,
    whole: Option<Bytes>,
    pieces: &[Bytes],
) -> Result<Bytes, Stopped> {
    let whole = whole.map(|body| vec![body]);
    let pieces = whole.as_deref().unwrap_or(pieces);
    let mut sent = BytesMut::new();
    for_each_piece(pieces, |chunk| {
        chain.request_body(chunk, slots, passed)?;
        sent.extend_from_slice(&chunk.data);
        Ok(())
    })?;
    Ok(sent.freeze())
}

pub(super) fn pass_response_body(
    chain: &Chain,
    slots: &mut Slots,
    pieces: &[Bytes],
    to: usize,
) -> (Bytes, Option<&'static str>) {
    let mut sent = BytesMut::new();
    let passed = for_each_piece(pieces, |chunk| {
        chain.response_body(chunk, slots, to)?;
        sent.extend_from_slice(&chunk.data);
        Ok::<_, Abort>(())
    });
    (sent.freeze(), passed.err().map(|abort| abort.reason))
}

/// Calls with each piece, and then with an empty last one, as connections do.
fn for_each_piece<E>(
    pieces: &[Bytes],
    mut each: impl FnMut(&mut Chunk) -> Result<(), E>,
) -> Result<(), E> {
    for data in pieces {
        each(&mut Chunk {
            data: data.clone(),
            last: false,
        })?;
    }
    each(&mut Chunk {
        data: Bytes::new(),
        last: true,
    })
}

/// The response that a reply makes; the length is there where there is the body to measure, which
/// only the gateway writes for a problem.
pub(super) fn draft(reply: &Reply) -> (ResponseHead, Vec<Bytes>) {
    let mut head = response_head(reply.status.as_u16());
    for (name, value) in &reply.headers {
        head.headers.append(name, value.clone());
    }
    let body = match &reply.body {
        ReplyBody::Bytes(content_type, body) => {
            head.headers.insert(CONTENT_TYPE, content_type.clone());
            vec![body.clone()]
        }
        ReplyBody::Empty | ReplyBody::Problem(_) => Vec::new(),
    };
    let bodiless = matches!(
        reply.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if !bodiless && reply.reason().is_none() {
        let length: usize = body.iter().map(Bytes::len).sum();
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    (head, body)
}

/// The connection that a call comes over.
pub(super) struct Inner<'a> {
    pub(super) head: &'a mut RequestHead,
    pub(super) pieces: &'a [Bytes],
    pub(super) body: Option<Bytes>,
    /// How many links have had their way with it.
    pub(super) passed: usize,
    /// How large a body may be that is read.
    pub(super) limit: usize,
}

impl Inner<'_> {
    fn fits(&self, entered: &Entered<'_>) -> Result<(), Stopped> {
        let length: usize = self.pieces.iter().map(Bytes::len).sum();
        if self.body.is_none() && length > self.limit {
            let reply = Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
            return Err(entered.stop(reply));
        }
        Ok(())
    }

    fn settled(&mut self, entered: &mut Entered<'_>) -> Result<Bytes, Stopped> {
        self.fits(entered)?;
        let whole = self.body.take().map(|body| vec![body]);
        let mut read = BytesMut::new();
        for_each_piece(whole.as_deref().unwrap_or(self.pieces), |chunk| {
            entered.pass(chunk, self.passed)?;
            read.extend_from_slice(&chunk.data);
            Ok(())
        })?;
        self.passed = entered.count();
        Ok(read.freeze())
    }

    fn keep(&mut self, body: Bytes) {
        let headers = &self.head.headers;
        let is_there = !body.is_empty() && !headers.contains_key(TRANSFER_ENCODING);
        if is_there || headers.contains_key(CONTENT_LENGTH) {
            self.head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        self.body = Some(body);
    }
}

impl Inbound for Inner<'_> {
    fn head(&self) -> &RequestHead {
        self.head
    }

    fn head_mut(&mut self) -> &mut RequestHead {
        self.head
    }

    fn read_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async move {
            let body = self.settled(entered)?;
            self.keep(body.clone());
            Ok(body)
        })
    }

    fn copy_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async move {
            let body = self.settled(entered)?;
            self.body = Some(body.clone());
            Ok(body)
        })
    }

    fn replace_body<'a>(&'a mut self, body: Bytes, entered: &'a mut Entered<'_>) -> Read<'a, ()> {
        Box::pin(async move {
            self.settled(entered)?;
            self.keep(body);
            Ok(())
        })
    }
}
