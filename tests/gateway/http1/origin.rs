//! An origin that reads requests to the letter, and remembers what it was sent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the message about a request that ended too early begins with.
pub const CUT: &str = "cut off: ";

/// A request as it came, or what is wrong with it.
pub type Got = Result<Request, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// An origin on a free port; it answers each request with `answer`.
pub struct Origin {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    raw: Raw,
}

/// The bytes that came, by connection.
type Raw = Arc<Mutex<BTreeMap<usize, Vec<u8>>>>;

/// A connection whose bytes are remembered.
struct Recorded {
    stream: TcpStream,
    number: usize,
    raw: Raw,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if count > 0 {
            // The end of a connection may come late, and is nothing that came.
            let mut raw = self.raw.lock().unwrap();
            raw.entry(self.number).or_default().extend(&buffer[..count]);
        }
        Ok(count)
    }
}

impl Origin {
    /// One that answers `ok`.
    pub fn start() -> Self {
        Self::telling(|_| "ok".to_owned())
    }

    /// One that answers with this as the body.
    pub fn telling(body: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::answering(move |request, stream| {
            let body = body(request);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).is_ok()
        })
    }

    /// One that answers like this; returns whether the connection goes on.
    pub fn answering(
        answer: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, got) = (listener.local_addr().unwrap(), Arc::default());
        let raw = Raw::default();
        let (this, answer) = (Self { address, got, raw }, Arc::new(answer));
        let (got, raw) = (this.got.clone(), this.raw.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (mut stream, got, answer) = (stream.unwrap(), got.clone(), answer.clone());
                stream.set_nodelay(true).unwrap();
                let mut recorded = Recorded {
                    stream: stream.try_clone().unwrap(),
                    number,
                    raw: raw.clone(),
                };
                std::thread::spawn(move || {
                    while let Some(request) = read(&mut recorded) {
                        let good = request.clone().ok();
                        got.lock().unwrap().push(request);
                        if !good.is_some_and(|request| answer(&request, &mut stream)) {
                            return;
                        }
                    }
                });
            }
        });
        this
    }

    /// The bytes that came since this was last asked, connection by connection.
    pub fn take_raw(&self) -> BTreeMap<usize, Vec<u8>> {
        std::mem::take(&mut *self.raw.lock().unwrap())
    }

    /// What came since this was last asked.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

/// Reads one request; nothing where the other end has ended before it.
fn read(stream: &mut impl Read) -> Option<Got> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if !stream.read(&mut byte).is_ok_and(|read| read == 1) {
            let broken = Err(format!("broken off: {}", head.escape_ascii()));
            return (!head.is_empty()).then_some(broken);
        }
        head.push(byte[0]);
    }
    Some(canonical(&head).and_then(|framing| {
        let body = match framing {
            Framing::Length(length) => {
                let mut body = vec![0; length];
                stream.read_exact(&mut body).map_err(cut)?;
                body
            }
            Framing::Chunked => read_chunks(stream)?,
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        Ok(Request { head, body })
    }))
}

enum Framing {
    Length(usize),
    Chunked,
}

/// Whether there is one way only to read this head.
fn canonical(head: &[u8]) -> Result<Framing, String> {
    let wrong = |what: &str| format!("{what}: {}", head.escape_ascii());
    let lines: Vec<&[u8]> = head[..head.len() - 4]
        .split(|byte| *byte == b'\n')
        .collect();
    let count = lines.len();
    let mut whole = lines
        .iter()
        .enumerate()
        .map(|(number, line)| match line.strip_suffix(b"\r") {
            Some(line) if number + 1 < count => Ok(line),
            None if number + 1 == count => Ok(*line),
            _ => Err(wrong("a bare LF")),
        });
    let lines: Vec<&[u8]> = whole.by_ref().collect::<Result<_, _>>()?;
    if lines.iter().any(|line| {
        line.iter()
            .any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f)
    }) {
        return Err(wrong("a control character"));
    }
    let first: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    if first.len() != 3 || first[2] != b"HTTP/1.1" {
        return Err(wrong("no request line"));
    }
    let (mut hosts, mut framings) = (0, Vec::new());
    for line in &lines[1..] {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(wrong("no field"))?);
        if name.is_empty()
            || !name
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
        {
            return Err(wrong("no field name"));
        }
        let value = std::str::from_utf8(value[1..].trim_ascii()).unwrap_or("?");
        match String::from_utf8_lossy(name).to_lowercase().as_str() {
            "host" if value.is_empty() || value.contains([' ', ',', '/', '@']) => {
                return Err(wrong("no host"));
            }
            "host" => hosts += 1,
            "content-length" => {
                let length = value.parse().map_err(|_| wrong("no length"))?;
                if length_text(length) != value {
                    return Err(wrong("a length like no other"));
                }
                framings.push(Framing::Length(length));
            }
            "transfer-encoding" if value == "chunked" => framings.push(Framing::Chunked),
            "transfer-encoding" => return Err(wrong("another coding")),
            _ => {}
        }
    }
    if hosts != 1 || framings.len() > 1 {
        return Err(wrong("no host, two, or two lengths"));
    }
    Ok(framings.pop().unwrap_or(Framing::Length(0)))
}

/// The message for a body that ends too early: such a request is never worked on.
fn cut(error: std::io::Error) -> String {
    format!("{CUT}{error}")
}

fn length_text(length: usize) -> String {
    length.to_string()
}

fn read_chunks(stream: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).map_err(cut)?;
            line.push(byte[0]);
        }
        let wrong = || format!("no chunk: {}", line.escape_ascii());
        let text = std::str::from_utf8(&line[..line.len() - 2]).map_err(|_| wrong())?;
        let size = usize::from_str_radix(text, 16).map_err(|_| wrong())?;
        let mut data = vec![0; size + 2];
        stream.read_exact(&mut data).map_err(cut)?;
        if data.split_off(size) != b"\r\n" {
            return Err(wrong());
        }
        if size == 0 {
            return Ok(body);
        }
        body.extend(data);
    }
}
