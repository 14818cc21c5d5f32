//! The server behind all proxies: nginx with one worker, which has what every scenario asks for and
//! counts what it is asked.

use std::fs;
use std::io;
use std::net::SocketAddr;

use crate::awake::Awake;
use crate::contender::Stage;
use crate::nginx;
use crate::process::{Probe, Process, Used, free_address};
use crate::scenario::{self, Scenario};

/// A running origin.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    scenario: Scenario,
    process: Process,
}

impl Origin {
    /// Starts it, to stay awake where there is what keeps it, and waits until it answers.
    ///
    /// # Errors
    /// A program that is missing or does not come up, with what it printed.
    pub fn start(
        scenario: Scenario,
        stage: &Stage<'_>,
        processors: Option<&str>,
        awake: Option<&Awake>,
    ) -> io::Result<Self> {
        let address = free_address()?;
        for (name, size) in [
            ("mebibyte", scenario::MEBIBYTE),
            ("hundred", scenario::HUNDRED),
            ("kib", scenario::KIB),
        ] {
            fs::write(stage.folder.join(name), vec![b'm'; size])?;
        }
        fs::write(stage.folder.join("json"), document())?;
        fs::write(stage.folder.join("page.html"), page())?;
        let name = format!("{}-origin", scenario.name());
        let servers = nginx::origin(address, scenario, stage);
        let mut command = nginx::command(&servers, &name, stage, processors)?;
        if let Some(awake) = awake {
            awake.keep(&mut command);
        }
        let mut process = Process::start(&name, command, stage.folder)?;
        process.wait_ready(&Probe::of_origin(scenario, address, "/hello"))?;
        Ok(Self {
            address,
            scenario,
            process,
        })
    }

    /// Processor time that it has used so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn used(&self) -> io::Result<Used> {
        self.process.used()
    }

    /// How many requests it has got so far, with the one by which it is asked this.
    ///
    /// # Errors
    /// It does not answer.
    pub fn requests(&self) -> io::Result<u64> {
        let page = Probe::of_origin(self.scenario, self.address, "/requests").answer()?;
        counted(&page)
            .ok_or_else(|| io::Error::other(format!("expected the origin's counts, got {page:?}")))
    }
}

/// The number of requests in a page of nginx's `stub_status`: the third in the line of numbers.
fn counted(page: &str) -> Option<u64> {
    let mut after = page
        .lines()
        .skip_while(|line| !line.starts_with("server accepts"));
    let numbers = after.nth(1)?;
    numbers.split_whitespace().nth(2)?.parse().ok()
}

/// A page of 64 KiB, with text that repeats about as much as that of pages does.
fn page() -> String {
    let mut page = String::from("<!doctype html>\n");
    let mut number: u32 = 1;
    while page.len() < 64 << 10 {
        number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        page += &format!(
            "<li><a href=\"/items/{number:x}\">item {}</a></li>\n",
            number >> 20
        );
    }
    page
}

/// An object of [`scenario::DOCUMENT`] bytes, as an API would send it: 16 items of one shape.
fn document() -> String {
    let item = |number: u32| {
        format!(
            "{{\"id\":{number},\"name\":\"item {number:02}\",\"price\":{{\"amount\":19.90,\
             \"currency\":\"EUR\"}},\"tags\":[\"new\",\"blue\"],\"stock\":null}}"
        )
    };
    let items: Vec<String> = (10..26).map(item).collect();
    let mut text = format!("{{\"items\":[{}],\"note\":\"", items.join(","));
    let rest = scenario::DOCUMENT - text.len() - "\"}".len();
    text += &"n".repeat(rest);
    text + "\"}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_json_of_its_size() {
        let text = document();
        assert_eq!(text.len(), scenario::DOCUMENT);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["items"].as_array().unwrap().len(), 16);
        assert!(read.get("served_by").is_none());
    }

    #[test]
    fn reads_the_count_of_requests() {
        let page = "HTTP/1.1 200 OK\r\n\r\nActive connections: 1 \nserver accepts handled requests\n \
                    16 16 42 \nReading: 0 Writing: 1 Waiting: 0 \n";
        assert_eq!(counted(page), Some(42));
        assert_eq!(counted("404 Not Found"), None);
    }
}
