//! Protocols through the gateway, with peers that check every byte.

mod grpc;
mod interim;
mod peers;
mod streams;
mod websocket;
