//! What connections hold that do nothing: kept ones after a request, and ones with half a head.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::process::Process;

/// How many connections are opened.
pub const CONNECTIONS: u32 = 5000;

/// What one contender holds for each connection, in bytes of resident memory.
#[derive(Debug, Serialize)]
pub struct Held {
    pub name: String,
    /// After a request, kept for the next.
    pub kept: u64,
    /// After half a request head.
    pub half_head: u64,
}

/// Opens connections to `address` and looks at the memory of what serves them.
///
/// # Errors
/// A connection that is refused, or closed before its answer.
pub fn measure(
    name: String,
    process: &Process,
    address: SocketAddr,
    path: &str,
) -> io::Result<Held> {
    let whole = format!("GET {path} HTTP/1.1\r\nHost: h57.example.com\r\n\r\n");
    let half = &whole[..whole.len() - 20];
    let kept = grown(process, || {
        let mut connection = connect(address)?;
        connection.write_all(whole.as_bytes())?;
        let mut answer = [0; 4096];
        let read = connection.read(&mut answer)?;
        match answer[..read].starts_with(b"HTTP/1.1 200") {
            true => Ok(connection),
            false => Err(io::Error::other("expected a 200")),
        }
    })?;
    let half_head = grown(process, || {
        let mut connection = connect(address)?;
        connection.write_all(half.as_bytes())?;
        Ok(connection)
    })?;
    Ok(Held {
        name,
        kept,
        half_head,
    })
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(connection)
}

/// By how much memory grows with each connection that is opened like this.
fn grown(process: &Process, open: impl Fn() -> io::Result<TcpStream>) -> io::Result<u64> {
    let before = process.resident_bytes()?;
    let connections = (0..CONNECTIONS)
        .map(|_| open())
        .collect::<io::Result<Vec<_>>>()?;
    // The last ones have to arrive there.
    std::thread::sleep(Duration::from_millis(500));
    let after = process.resident_bytes()?;
    drop(connections);
    Ok(after.saturating_sub(before) / u64::from(CONNECTIONS))
}

/// The table that is printed.
pub fn table(rows: &[Held]) -> String {
    let mut text = format!(
        "idle: resident bytes for each of {CONNECTIONS} connections\n\n{:<22}{:>12}{:>12}\n",
        "contender", "kept", "half a head"
    );
    for row in rows {
        text += &format!("{:<22}{:>12}{:>12}\n", row.name, row.kept, row.half_head);
    }
    text
}
