//! `compare [--only NAME,NAME] [--json FILE]`: the run behind `make bench`.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use wiregate_bench::command::{self, Result};
use wiregate_bench::contender::{Contender, Stage, start_origin};
use wiregate_bench::load::{self, CONNECTIONS};
use wiregate_bench::process::{Pinning, Process};
use wiregate_bench::report::{Report, Sample, rows};

const WARM_UP_SECONDS: u32 = 1;
const USAGE: &str = "\
compare [--only NAME,NAME] [--json FILE]
  --only NAME,NAME  these contenders instead of all
  --json FILE       also write every sample to this file
  BENCH_ROUNDS      how many rounds (5)
  BENCH_SECONDS     how long a round lasts for each contender (5)
";

struct Options {
    only: Vec<Contender>,
    json: Option<PathBuf>,
    rounds: u32,
    seconds: u32,
}

fn main() -> ExitCode {
    command::main(options(env::args().skip(1)), USAGE, run)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        only: Contender::ALL.into(),
        json: None,
        rounds: number("BENCH_ROUNDS", 5)?,
        seconds: number("BENCH_SECONDS", 5)?,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("expected a value at the end");
        match argument.as_str() {
            "--only" => options.only = value()?.split(',').map(named).collect::<Result<_>>()?,
            "--json" => options.json = Some(value()?.into()),
            _ => return Err(format!("expected an option, found {argument:?}").into()),
        }
    }
    Ok(options)
}

fn named(name: &str) -> Result<Contender> {
    let mut all = Contender::ALL.into_iter();
    let found = all.find(|contender| contender.name() == name);
    let names = || Contender::ALL.map(Contender::name).join(", ");
    found.ok_or_else(|| format!("expected one of {}, found {name:?}", names()).into())
}

fn number(variable: &str, default: u32) -> Result<u32> {
    let Ok(text) = env::var(variable) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{variable}: expected 1 or more, found {text:?}").into())
}

fn run(options: &Options) -> Result<()> {
    let program = env::current_exe()?;
    let binaries = program
        .parent()
        .ok_or("expected a folder around the program")?;
    let folder = tempfile::tempdir()?;
    let stage = Stage {
        binaries,
        folder: folder.path(),
    };
    let pinning = Pinning::detect();
    let (proxy, others) = pinning
        .as_ref()
        .map(|pinning| (&*pinning.proxy, &*pinning.others))
        .unzip();

    let (_origin, origin) = start_origin(&stage, others)?;
    let mut running = Vec::new();
    for contender in &options.only {
        let (process, address) = contender.start(origin, &stage, proxy)?;
        running.push(Running {
            contender: *contender,
            process,
            address,
            samples: Vec::new(),
        });
    }
    play(&mut running, options, others)?;
    let sampled: Vec<_> = running
        .into_iter()
        .map(|one| (one.contender.name(), one.samples))
        .collect();
    let report = Report {
        rounds: options.rounds,
        seconds: options.seconds,
        connections: CONNECTIONS,
        pinned: pinning.map(|pinning| (pinning.proxy, pinning.others)),
        contenders: rows(&sampled),
    };
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    io::stdout().write_all(report.table().as_bytes())?;
    Ok(())
}

struct Running {
    contender: Contender,
    process: Process,
    address: SocketAddr,
    samples: Vec<Sample>,
}

/// Loads one after the other, round by round. Round 0 fills pools and caches, and does not count.
fn play(running: &mut [Running], options: &Options, others: Option<&str>) -> Result<()> {
    for one in &mut *running {
        one.load(WARM_UP_SECONDS, others)?;
    }
    for round in 1..=options.rounds {
        for one in &mut *running {
            let sample = one.load(options.seconds, others)?;
            let name = one.contender.name();
            eprintln!("round {round}: {name:<22}{:>8.2} us/request", sample.cpu_us);
            one.samples.push(sample);
        }
    }
    Ok(())
}

impl Running {
    fn load(&self, seconds: u32, processors: Option<&str>) -> Result<Sample> {
        let (path, headers) = (self.contender.path(), self.contender.headers());
        let before = self.process.cpu_seconds()?;
        let observed = load::run(self.address, path, headers, seconds, processors)?;
        let used = self.process.cpu_seconds()? - before;
        Ok(Sample {
            cpu_us: used * 1e6 / observed.requests as f64,
            requests_per_second: observed.requests_per_second,
            p99_ms: observed.p99_ms,
            resident_bytes: self.process.resident_bytes()?,
        })
    }
}
