//! Lines as messages for a syslog receiver: RFC 5424, or RFC 3164 for those who know no better, over a
//! Unix socket, UDP (RFC 5426) or TCP (RFC 6587, 3.4.1).
//!
//! Sending happens on the log's own thread, so that traffic waits for nothing here. What cannot be sent
//! stays where it is until there is a connection again, and in the queue there is only so much room.

mod address;
mod link;

use std::io::Write;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::address::Address;
pub(super) use self::link::Link;
use super::{IN_MEMORY, time};

/// The longest name of a host in a message (RFC 5424, 6).
const LONGEST_HOST: usize = 255;

/// Whom messages go to, and what they say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Where it is.
    pub address: Address,
    /// What a message's head looks like.
    pub header: Header,
    /// What kind of program the message is from.
    pub facility: Facility,
    /// How much it matters.
    pub severity: Severity,
    /// The program's name.
    pub tag: String,
}

/// What the head of a message looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// That of RFC 5424.
    #[default]
    Rfc5424,
    /// That of RFC 3164, which is what journald and other receivers at `/dev/log` read. Times are in UTC.
    Rfc3164,
}

/// What kind of program a message is from (RFC 5424, 6.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of RFC 5424")]
pub enum Facility {
    User = 1,
    Daemon = 3,
    #[default]
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

/// How much a message matters (RFC 5424, 6.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of RFC 5424")]
pub enum Severity {
    Warning = 4,
    Notice = 5,
    #[default]
    Info = 6,
    Debug = 7,
}

/// The heads of a receiver's messages.
struct Heads {
    before: Vec<u8>,
    after: Vec<u8>,
    header: Header,
}

impl Heads {
    fn new(receiver: &Receiver) -> Self {
        let priority = receiver.facility as u8 * 8 + receiver.severity as u8;
        let (host, tag, pid) = (host(), &receiver.tag, std::process::id());
        let (before, after) = match (receiver.header, &receiver.address) {
            (Header::Rfc5424, _) => (
                format!("<{priority}>1 "),
                format!(" {host} {tag} {pid} access - "),
            ),
            // On this machine, its name is left out.
            (Header::Rfc3164, Address::Unix(_)) => {
                (format!("<{priority}>"), format!(" {tag}[{pid}]: "))
            }
            (Header::Rfc3164, _) => (format!("<{priority}>"), format!(" {host} {tag}[{pid}]: ")),
        };
        Self {
            before: before.into(),
            after: after.into(),
            header: receiver.header,
        }
    }

    fn write(&self, message: &mut Vec<u8>, time: SystemTime) {
        message.write_all(&self.before).expect(IN_MEMORY);
        match self.header {
            Header::Rfc5424 => time::rfc3339(message, time),
            Header::Rfc3164 => time::bsd(message, time),
        }
        message.write_all(&self.after).expect(IN_MEMORY);
    }
}

/// This machine's name, or `-` (RFC 5424, 6.2.4).
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let printable = |c: &char| c.is_ascii_graphic();
    let name: String = name
        .trim()
        .chars()
        .filter(printable)
        .take(LONGEST_HOST)
        .collect();
    if name.is_empty() { "-".into() } else { name }
}

#[cfg(test)]
mod tests;
