//! Who takes part: the origin behind all of them, and the proxies that are compared.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::nginx;
use crate::process::{Probe, Process, free_address, pinned};
use crate::scenario::Scenario;

/// The addresses that the files in `conf/` name, and that a run replaces by free ones.
const LISTEN: &str = "127.0.0.1:8080";
const ORIGIN: &str = "127.0.0.1:9001";
/// The host that is asked for, the same for all.
const HOST: &str = "Host: h57.example.com";
const API_KEY: &str = "bench-key-0123456789";
/// How many files each process may have open.
pub const DESCRIPTORS: u32 = 20_000;

const PLAIN: &str = include_str!("../conf/plain.yaml");
const SIX_FILTERS: &str = include_str!("../conf/six-filters.yaml");
const OVERLOAD: &str = include_str!("../conf/overload.yaml");

/// One proxy under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Pingora as its guide shows it, built as Cargo builds by default.
    Bare,
    /// The same with Wiregate's profile and allocator.
    BareTuned,
    /// The same again without work stealing.
    BareTunedNoSteal,
    Nginx,
    /// Wiregate with one route and no filter.
    Plain,
    /// Wiregate with six ordinary filters on that route.
    SixFilters,
    /// Wiregate with ten thousand routes and no filter.
    TenThousand,
    /// Wiregate with requests that cost something, and its limits as they are by default.
    Overload,
    /// Wiregate with one route, and three endpoints balanced like this.
    Balanced(&'static str),
}

impl Contender {
    /// The name in the table and on the command line.
    pub fn name(self) -> String {
        let name = match self {
            Self::Bare => "bare",
            Self::BareTuned => "bare-tuned",
            Self::BareTunedNoSteal => "bare-tuned-no-steal",
            Self::Nginx => "nginx",
            Self::Plain => "wiregate-plain",
            Self::SixFilters => "wiregate-six-filters",
            Self::TenThousand => "wiregate-ten-thousand",
            Self::Overload => "wiregate-overload",
            Self::Balanced(how) => {
                let word = how.trim_start_matches(|c: char| !c.is_alphabetic());
                let word = word.split(|c: char| c != '_' && !c.is_alphabetic()).next();
                return format!("wiregate-{}", word.unwrap_or(how).replace('_', "-"));
            }
        };
        name.to_owned()
    }

    /// The headers that every request carries.
    pub fn headers(self) -> &'static [&'static str] {
        match self {
            Self::SixFilters => &[
                HOST,
                "X-API-Key: bench-key-0123456789",
                "Origin: https://app.example.com",
            ],
            _ => &[HOST],
        }
    }

    /// Starts it in front of `origin` and waits until it answers.
    ///
    /// # Errors
    /// A program that is missing or does not come up, with what it printed.
    pub fn start(
        self,
        scenario: Scenario,
        origin: SocketAddr,
        stage: &Stage<'_>,
        processors: Option<&str>,
    ) -> io::Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let name = format!("{}-{}", scenario.name(), self.name());
        let bare = |program: &str, flags: &[&str]| {
            let mut command = pinned(&stage.binaries.join(program), processors);
            command.arg(address.to_string()).arg(origin.to_string());
            command.args(flags).args(bare_flags(scenario, stage));
            command
        };
        let wiregate = |yaml: &str| -> io::Result<Command> {
            let file = stage.folder.join(format!("{name}.yaml"));
            fs::write(
                &file,
                moved(&fitted(yaml, scenario, stage), address, origin)?,
            )?;
            let mut command = pinned(&stage.binaries.join("wiregate"), processors);
            command.args(["run", "--config"]).arg(file);
            command.env("BENCH_API_KEY", API_KEY);
            Ok(command)
        };
        let command = match self {
            Self::Bare => bare("../bare/bare", &[]),
            Self::BareTuned => bare("bare-tuned", &[]),
            Self::BareTunedNoSteal => bare("bare-tuned", &["--no-steal"]),
            Self::Nginx => nginx::command(
                &nginx::proxy(address, origin, scenario, stage),
                &name,
                stage,
                processors,
            )?,
            Self::Plain => wiregate(PLAIN)?,
            Self::SixFilters => wiregate(SIX_FILTERS)?,
            Self::TenThousand => wiregate(&ten_thousand())?,
            Self::Overload => wiregate(OVERLOAD)?,
            Self::Balanced(how) => wiregate(&balanced(how, origin))?,
        };
        let mut process = Process::start(&name, command, stage.folder)?;
        process.wait_ready(&Probe::new(scenario, address, self.headers()))?;
        Ok((process, address))
    }
}

fn bare_flags(scenario: Scenario, stage: &Stage<'_>) -> Vec<String> {
    let mut flags = Vec::new();
    if scenario.tls() {
        let file = |name: &str| stage.folder.join(name).display().to_string();
        flags.extend(["--tls".to_owned(), file("cert.pem"), file("key.pem")]);
    } else if scenario.http2() {
        flags.push("--h2c".to_owned());
    }
    if scenario.http2_upstream() {
        flags.push("--h2-upstream".to_owned());
    }
    flags
}

/// The file with what a scenario asks for beside it.
fn fitted(yaml: &str, scenario: Scenario, stage: &Stage<'_>) -> String {
    let mut yaml = yaml.to_owned();
    if scenario.tls() {
        let file = |name: &str| stage.folder.join(name).display().to_string();
        let tls = format!(
            "{LISTEN}\", tls: {{ certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }} }}",
            file("cert.pem"),
            file("key.pem")
        );
        yaml = yaml.replacen(&format!("{LISTEN}\" }}"), &tls, 1);
    }
    if scenario.http2_upstream() {
        let http2 = format!("{ORIGIN}\"], protocol: h2c }}");
        yaml = yaml.replacen(&format!("{ORIGIN}\"] }}"), &http2, 1);
    }
    yaml
}

/// The file with three endpoints: the origin by three addresses of the loopback interface.
fn balanced(how: &str, origin: SocketAddr) -> String {
    let port = origin.port();
    let endpoints =
        format!("{ORIGIN}\", \"127.0.0.2:{port}\", \"127.0.0.3:{port}\"], balance: {how} }}");
    PLAIN.replacen(&format!("{ORIGIN}\"] }}"), &endpoints, 1)
}

/// Where programs are found and files are put.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The folder of the release build.
    pub binaries: &'a Path,
    /// A folder for configurations and logs.
    pub folder: &'a Path,
}

/// Starts the origin: nginx with one worker that answers with one line, or with 1 MiB.
///
/// # Errors
/// As [`Contender::start`].
pub fn start_origin(
    scenario: Scenario,
    stage: &Stage<'_>,
    processors: Option<&str>,
) -> io::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    fs::write(stage.folder.join("mebibyte"), vec![b'm'; 1 << 20])?;
    fs::write(stage.folder.join("page.html"), page())?;
    let name = format!("{}-origin", scenario.name());
    let servers = nginx::origin(address, scenario, stage);
    let command = nginx::command(&servers, &name, stage, processors)?;
    let mut process = Process::start(&name, command, stage.folder)?;
    process.wait_ready(&Probe::of_origin(scenario, address))?;
    Ok((process, address))
}

/// A page of 64 KiB, with text that repeats about as much as that of pages does.
fn page() -> String {
    let mut page = String::from("<!doctype html>\n");
    let mut number: u32 = 1;
    while page.len() < 64 << 10 {
        number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        writeln!(
            page,
            "<li><a href=\"/items/{number:x}\">item {}</a></li>",
            number >> 20
        )
        .expect("a string takes everything");
    }
    page
}

/// The file with the two addresses of this run in place of the ones it names.
fn moved(yaml: &str, listen: SocketAddr, origin: SocketAddr) -> io::Result<String> {
    for address in [LISTEN, ORIGIN] {
        let found = yaml.matches(address).count();
        if found != 1 {
            let problem = format!("expected {address} once in the file, found it {found} times");
            return Err(io::Error::other(problem));
        }
    }
    // One pass, as the new address of the one may be the old address of the other.
    let (first, second) = match yaml.find(LISTEN) < yaml.find(ORIGIN) {
        true => ((LISTEN, listen), (ORIGIN, origin)),
        false => ((ORIGIN, origin), (LISTEN, listen)),
    };
    let (before, rest) = yaml.split_once(first.0).expect("counted above");
    let (between, after) = rest.split_once(second.0).expect("counted above");
    Ok([
        before,
        &first.1.to_string(),
        between,
        &second.1.to_string(),
        after,
    ]
    .concat())
}

/// A hundred hosts with a hundred paths each, on one upstream.
fn ten_thousand() -> String {
    let (head, _) = PLAIN.split_once("routes:").expect("the file has routes");
    let mut yaml = format!("{head}routes:\n");
    for host in 0..100 {
        for path in 0..100 {
            writeln!(
                yaml,
                "  - {{ name: h{host}-p{path}, match: {{ host: h{host}.example.com, \
                 path: /p{path}/** }}, upstream: origin }}"
            )
            .expect("a string takes everything");
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiregate_accepts_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage {
            binaries: folder.path(),
            folder: folder.path(),
        };
        let (origin, listen) = (ORIGIN.parse().unwrap(), LISTEN.parse().unwrap());
        for scenario in Scenario::ALL {
            let fitted = fitted(PLAIN, scenario, &stage);
            assert_eq!(fitted.contains("tls:"), scenario.tls());
            assert_eq!(fitted.contains("h2c"), scenario.http2_upstream());
            assert!(moved(&fitted, listen, origin).is_ok());
        }
        let balanced = moved(&balanced("random", origin), listen, origin).unwrap();
        assert!(
            balanced.contains("\"127.0.0.3:9001\"], balance: random }"),
            "{balanced}"
        );
    }

    #[test]
    fn a_way_to_balance_has_a_name() {
        assert_eq!(
            Contender::Balanced("least_requests").name(),
            "wiregate-least-requests"
        );
        assert_eq!(
            Contender::Balanced("{ hash: { by: x } }").name(),
            "wiregate-hash"
        );
    }

    #[test]
    fn a_file_is_moved_to_the_addresses_of_the_run() {
        let origin = LISTEN.parse().unwrap();
        let listen = "127.0.0.1:5".parse().unwrap();
        for yaml in [PLAIN, SIX_FILTERS, OVERLOAD, &ten_thousand()] {
            let moved = moved(yaml, listen, origin).unwrap();
            assert!(moved.contains("bind: \"127.0.0.1:5\""), "{moved:.600}");
            assert!(
                moved.contains("endpoints: [\"127.0.0.1:8080\"]"),
                "{moved:.600}"
            );
        }
        let twice = format!("{LISTEN} {LISTEN} {ORIGIN}");
        let error = moved(&twice, listen, origin).unwrap_err().to_string();
        assert!(error.ends_with("found it 2 times"), "{error}");
    }

    #[test]
    fn ten_thousand_routes_hold_the_one_that_is_asked_for() {
        let yaml = ten_thousand();
        assert_eq!(yaml.matches("- { name: ").count(), 10_000);
        assert!(yaml.contains("host: h57.example.com, path: /p42/** }, upstream: origin"));
    }
}
