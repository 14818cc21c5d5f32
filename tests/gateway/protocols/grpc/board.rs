//! A gRPC service with a method of each kind, without generated code.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{ClientStreamingService, Grpc, NamedService, ServerStreamingService};
use tonic::server::{StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// What is said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Note {
    #[prost(string, tag = "1")]
    pub text: String,
}

pub fn note(text: impl Into<String>) -> Note {
    Note { text: text.into() }
}

pub type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;
pub type Codec = ProstCodec<Note, Note>;

/// A service with a method of each kind.
#[derive(Clone)]
pub struct Board;

impl NamedService for Board {
    const NAME: &'static str = "test.Board";
}

impl UnaryService<Note> for Board {
    type Response = Note;
    type Future = BoxFuture<Response<Note>, Status>;

    fn call(&mut self, request: Request<Note>) -> Self::Future {
        Box::pin(async move {
            let text = request.into_inner().text;
            if text == "fail" {
                return Err(Status::already_exists("it is there: 100%"));
            }
            Ok(Response::new(note(format!("got {text}"))))
        })
    }
}

impl ServerStreamingService<Note> for Board {
    type Response = Note;
    type ResponseStream = Notes;
    type Future = BoxFuture<Response<Notes>, Status>;

    fn call(&mut self, request: Request<Note>) -> Self::Future {
        Box::pin(async move {
            let text = request.into_inner().text;
            let notes = stream::iter(0..1000).map(move |n| Ok(note(format!("{text} {n}"))));
            let last = stream::iter([Err(Status::out_of_range("no more"))]);
            Ok(Response::new(Box::pin(notes.chain(last)) as Notes))
        })
    }
}

impl ClientStreamingService<Note> for Board {
    type Response = Note;
    type Future = BoxFuture<Response<Note>, Status>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        Box::pin(async move {
            let (mut notes, mut count) = (request.into_inner(), 0);
            while notes.message().await?.is_some() {
                count += 1;
            }
            Ok(Response::new(note(count.to_string())))
        })
    }
}

/// The same as `Board`, for the one kind that would be ambiguous on it.
#[derive(Clone)]
pub struct Talk;

impl StreamingService<Note> for Talk {
    type Response = Note;
    type ResponseStream = Notes;
    type Future = BoxFuture<Response<Notes>, Status>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        let notes = request.into_inner();
        let answers = notes.map(|read| read.map(|read| note(format!("re: {}", read.text))));
        Box::pin(async move { Ok(Response::new(Box::pin(answers) as Notes)) })
    }
}

impl Service<http::Request<Body>> for Board {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/test.Board/Unary" => grpc.unary(Board, request).await,
                "/test.Board/Down" => grpc.server_streaming(Board, request).await,
                "/test.Board/Up" => grpc.client_streaming(Board, request).await,
                "/test.Board/Both" => grpc.streaming(Talk, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}
