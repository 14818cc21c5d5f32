//! The sockets over which DNS is asked: hundreds at a time, where many names are due, that leave descriptors to others.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::net::runtime::{RuntimeProvider, TokioRuntimeProvider};

use crate::descriptors::Purpose;

type Opening<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Opens sockets, as long as there are descriptors for them.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

impl RuntimeProvider for Sockets {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        from: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let opening = self.0.connect_tcp(server, from, timeout);
        Box::pin(async move {
            let stream = opening.await?;
            Purpose::Upkeep.may_have(&stream.0)?;
            Ok(stream)
        })
    }

    fn bind_udp(&self, from: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let opening = self.0.bind_udp(from, server);
        Box::pin(async move {
            let socket = opening.await?;
            Purpose::Upkeep.may_have(&socket)?;
            Ok(socket)
        })
    }
}
