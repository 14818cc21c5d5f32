//! Who takes part: the origin behind all of them, and the proxies that are compared.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::files::{self, balanced, fitted, moved, ten_thousand};
use crate::nginx;
use crate::process::{Probe, Process, free_address, pinned};
use crate::scenario::Scenario;

/// The host that is asked for, the same for all.
const HOST: &str = "Host: h57.example.com";
const API_KEY: &str = "bench-key-0123456789";
/// How many files each process may have open.
pub const DESCRIPTORS: u32 = 20_000;
/// A field with a token that `token.yaml` lets in, and that has expired when this century has.
const TOKEN: &str = include_str!("../conf/token.txt");

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
    /// nginx with a cache in memory, set up for what a scenario asks of it.
    NginxCache,
    /// Wiregate with one route and no filter.
    Plain,
    /// Wiregate with six ordinary filters on that route.
    SixFilters,
    /// Wiregate with ten thousand routes and no filter.
    TenThousand,
    /// Wiregate with one route, and three endpoints balanced like this.
    Balanced(&'static str),
    /// Wiregate with `jwt`.
    Token,
    /// Wiregate with `rate_limit`, which counts by itself.
    Limit,
    /// Wiregate with `cache`, in memory.
    Cache,
    /// Wiregate with requests that cost something, and its limits as they are by default.
    Overload,
    /// Wiregate with `json`, which sets one member of each answer.
    Json,
}

impl Contender {
    /// The name in the table and on the command line.
    pub fn name(self) -> String {
        let name = match self {
            Self::Bare => "bare",
            Self::BareTuned => "bare-tuned",
            Self::BareTunedNoSteal => "bare-tuned-no-steal",
            Self::Nginx => "nginx",
            Self::NginxCache => "nginx-cache",
            Self::Plain => "wiregate-plain",
            Self::SixFilters => "wiregate-six-filters",
            Self::TenThousand => "wiregate-ten-thousand",
            Self::Token => "wiregate-token",
            Self::Limit => "wiregate-limit",
            Self::Cache => "wiregate-cache",
            Self::Json => "wiregate-json",
            Self::Overload => "wiregate-overload",
            Self::Balanced(how) => {
                let word = how.trim_start_matches(|c: char| !c.is_alphabetic());
                let word = word.split(|c: char| c != '_' && !c.is_alphabetic()).next();
                return format!("wiregate-{}", word.unwrap_or(how).replace('_', "-"));
            }
        };
        name.to_owned()
    }

    /// The headers that every request carries: in one scenario the same for all, but for a key.
    pub fn headers(self, scenario: Scenario) -> &'static [&'static str] {
        match self {
            _ if scenario == Scenario::Token => &[HOST, TOKEN],
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
            Self::NginxCache => nginx::command(
                &nginx::cache(address, origin, scenario, stage),
                &name,
                stage,
                processors,
            )?,
            Self::Plain => wiregate(files::PLAIN)?,
            Self::SixFilters => wiregate(files::SIX_FILTERS)?,
            Self::Token => wiregate(files::TOKEN)?,
            Self::Limit => wiregate(files::LIMIT)?,
            Self::Cache => wiregate(files::CACHE)?,
            Self::Json => wiregate(files::JSON)?,
            Self::Overload => wiregate(files::OVERLOAD)?,
            Self::TenThousand => wiregate(&ten_thousand())?,
            Self::Balanced(how) => wiregate(&balanced(how, origin))?,
        };
        let mut process = Process::start(&name, command, stage.folder)?;
        process.wait_ready(&Probe::new(scenario, address, self.headers(scenario)))?;
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

/// Where programs are found and files are put.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The folder of the release build.
    pub binaries: &'a Path,
    /// A folder for configurations and logs.
    pub folder: &'a Path,
    /// A folder in memory, or else any.
    pub memory: &'a Path,
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
