//! A DNS server that says what it is told to say, and counts what it is asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What it says about a name.
#[derive(Clone, Debug)]
pub enum Says {
    /// These addresses, with this TTL in seconds.
    Addresses(u32, Vec<IpAddr>),
    /// These SRV records: priority, weight, port, host.
    Services(u32, Vec<(u16, u16, u16, &'static str)>),
    /// There is no such name.
    NoSuchName,
    /// There are no records of that kind.
    NoRecords,
    /// Something is wrong here.
    Failure,
    /// Not a word.
    Nothing,
}

#[derive(Default)]
struct State {
    says: HashMap<String, Says>,
    asked: HashMap<String, usize>,
}

/// A running server; it ends with the test.
pub struct DnsServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl DnsServer {
    /// A server that knows no names.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while Arc::strong_count(&shared) > 1 {
                let Ok((length, from)) = socket.recv_from(&mut packet) else {
                    continue;
                };
                let reply = answer(&packet[..length], &mut shared.lock().unwrap());
                if let Some(reply) = reply {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        Self { address, state }
    }

    /// A `dns` setting that asks this server, with short times.
    pub fn setting(&self) -> String {
        let address = self.address;
        format!("dns: {{ servers: [\"{address}\"], timeout: 2s, min_ttl: 100ms }}\n")
    }

    /// From now on it says this about a name.
    pub fn says(&self, name: &str, says: Says) {
        self.state
            .lock()
            .unwrap()
            .says
            .insert(name.to_owned(), says);
    }

    /// From now on a name has these addresses, for so many seconds.
    pub fn has(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.says(name, Says::Addresses(ttl, addresses));
    }

    /// How often it was asked about a name.
    pub fn asked(&self, name: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .asked
            .get(name)
            .copied()
            .unwrap_or(0)
    }
}

/// The reply to a question (RFC 1035, 4.1), if there is to be one.
fn answer(query: &[u8], state: &mut State) -> Option<Vec<u8>> {
    let (name, end) = name(query, 12)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let question = query.get(12..end + 4)?;
    *state.asked.entry(name.clone()).or_default() += 1;
    let says = state.says.get(&name).cloned().unwrap_or(Says::NoSuchName);
    let (code, records): (u8, Vec<(u32, Vec<u8>)>) = match says {
        Says::Nothing => return None,
        Says::NoSuchName => (3, vec![]),
        Says::NoRecords => (0, vec![]),
        Says::Failure => (2, vec![]),
        Says::Addresses(ttl, addresses) => {
            let data = addresses
                .iter()
                .filter_map(|address| match (address, kind) {
                    (IpAddr::V4(address), A) => Some((ttl, address.octets().to_vec())),
                    (IpAddr::V6(address), AAAA) => Some((ttl, address.octets().to_vec())),
                    _ => None,
                });
            (0, data.collect())
        }
        Says::Services(ttl, services) if kind == SRV => {
            let data = services.iter().map(|&(priority, weight, port, host)| {
                let mut data: Vec<u8> = [priority, weight, port].map(u16::to_be_bytes).concat();
                for label in host.split('.') {
                    data.push(u8::try_from(label.len()).unwrap());
                    data.extend(label.bytes());
                }
                data.push(0);
                (ttl, data)
            });
            (0, data.collect())
        }
        Says::Services(..) => (0, vec![]),
    };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut reply = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1];
    reply.extend(count);
    reply.extend([0; 4]);
    reply.extend(question);
    for (ttl, data) in records {
        reply.extend([0xC0, 12]); // the name of the question
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}

/// The name at a place in a packet, in lower case, and where it ends.
fn name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = packet.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
