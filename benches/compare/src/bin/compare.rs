//! `compare [--scenario NAME,…] [--only NAME,…] [--json FILE]`: the run behind `make bench`.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};
use wiregate_bench::awake::Awake;
use wiregate_bench::check;
use wiregate_bench::command::{self, Result};
use wiregate_bench::contender::{Contender, Stage};
use wiregate_bench::idle;
use wiregate_bench::load::{CONNECTIONS, Load};
use wiregate_bench::origin::Origin;
use wiregate_bench::process::{Pinning, Process, raise_descriptors};
use wiregate_bench::report::{Report, Sample, measured, rows};
use wiregate_bench::scenario::Scenario;

const WARM_UP_SECONDS: u32 = 1;
const USAGE: &str = "\
compare [--scenario NAME,NAME] [--only NAME,NAME] [--json FILE]
  --scenario NAME,NAME  these scenarios instead of all
  --only NAME,NAME      these contenders instead of all
  --json FILE           also write every sample to this file
  BENCH_ROUNDS          how many rounds (11)
  BENCH_SECONDS         how long a round lasts for each contender (2)
  BENCH_IDLE            how many connections are held that do nothing (5000)
";

struct Options {
    scenarios: Vec<Scenario>,
    only: Option<Vec<String>>,
    json: Option<PathBuf>,
    rounds: u32,
    seconds: u32,
    idle: u32,
}

fn main() -> ExitCode {
    command::main(options(env::args().skip(1)), USAGE, run)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        scenarios: Scenario::ALL.into(),
        only: None,
        json: None,
        rounds: number("BENCH_ROUNDS", 11)?,
        seconds: number("BENCH_SECONDS", 2)?,
        idle: number("BENCH_IDLE", idle::CONNECTIONS)?,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("expected a value at the end");
        match argument.as_str() {
            "--scenario" => {
                options.scenarios = value()?.split(',').map(scenario).collect::<Result<_>>()?;
            }
            "--only" => options.only = Some(contenders(&value()?)?),
            "--json" => options.json = Some(value()?.into()),
            _ => return Err(format!("expected an option, found {argument:?}").into()),
        }
    }
    Ok(options)
}

fn scenario(name: &str) -> Result<Scenario> {
    let mut all = Scenario::ALL.into_iter();
    let found = all.find(|scenario| scenario.name() == name);
    let names = || Scenario::ALL.map(Scenario::name).join(", ");
    found.ok_or_else(|| format!("expected one of {}, found {name:?}", names()).into())
}

fn contenders(names: &str) -> Result<Vec<String>> {
    let all = Scenario::ALL.into_iter().flat_map(Scenario::contenders);
    let known: Vec<String> = all.map(|contender| contender.name()).collect();
    let named: Vec<String> = names.split(',').map(str::to_owned).collect();
    match named.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(format!("expected one of {}, found {name:?}", known.join(", ")).into()),
        None => Ok(named),
    }
}

fn number(variable: &str, default: u32) -> Result<u32> {
    let Ok(text) = env::var(variable) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{variable}: expected 1 or more, found {text:?}").into())
}

fn run(options: &Options) -> Result<()> {
    let binaries = &command::folder()?;
    let folder = tempfile::tempdir()?;
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let stage = Stage {
        binaries,
        folder: folder.path(),
        memory: memory.path(),
    };
    raise_descriptors();
    if options.scenarios.iter().any(|scenario| scenario.tls()) {
        make_certificate(&stage)?;
    }
    let pinning = Pinning::detect();
    let mut reports = Vec::new();
    for scenario in &options.scenarios {
        let (text, report) = match *scenario {
            idle if idle.is_idle() => hold(idle, options, &stage, pinning.as_ref())?,
            _ => compare(*scenario, options, &stage, pinning.as_ref())?,
        };
        io::stdout().write_all(format!("{text}\n").as_bytes())?;
        reports.push(report);
    }
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&reports)? + "\n")?;
    }
    Ok(())
}

fn make_certificate(stage: &Stage<'_>) -> Result<()> {
    let made = Command::new(stage.binaries.join("wiregate"))
        .args(["cert", "self-signed", "--name", "h57.example.com", "--out"])
        .arg(stage.folder)
        .output()?;
    match made.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&made.stderr).into()),
    }
}

struct Running {
    contender: Contender,
    process: Process,
    address: SocketAddr,
    samples: Vec<Sample>,
}

/// Starts the contenders of a scenario that were asked for, and an origin behind them.
fn start(
    scenario: Scenario,
    options: &Options,
    stage: &Stage<'_>,
    pinning: Option<&Pinning>,
    awake: Option<&Awake>,
) -> Result<(Origin, Vec<Running>)> {
    let others = pinning.map(|pinning| &*pinning.others);
    let origin = Origin::start(scenario, stage, others, awake)?;
    let mut running = Vec::new();
    for contender in scenario.contenders() {
        let name = contender.name();
        if options
            .only
            .as_ref()
            .is_some_and(|only| !only.contains(&name))
        {
            continue;
        }
        let proxy = pinning.map(|pinning| &*pinning.proxy);
        let (process, address) = contender.start(scenario, origin.address, stage, proxy)?;
        check::behaviour(*contender, scenario, address)
            .map_err(|problem| format!("{}, {name}: {problem}", scenario.name()))?;
        running.push(Running {
            contender: *contender,
            process,
            address,
            samples: Vec::new(),
        });
    }
    Ok((origin, running))
}

fn compare(
    scenario: Scenario,
    options: &Options,
    stage: &Stage<'_>,
    pinning: Option<&Pinning>,
) -> Result<(String, Value)> {
    // On a single processor they would be awake at the proxy's expense.
    let awake = pinning.map(|_| Awake::build(stage.folder)).transpose()?;
    let awake = awake.as_ref();
    let (origin, mut running) = start(scenario, options, stage, pinning, awake)?;
    for round in 0..=options.rounds {
        let load = Load {
            scenario,
            address: origin.address,
            headers: &[],
            seconds: if round == 0 {
                WARM_UP_SECONDS
            } else {
                options.seconds
            },
            processors: pinning.map(|pinning| &*pinning.others),
            awake,
            folder: stage.folder,
            before: round,
        };
        play(&load, &mut running, &origin)?;
    }
    let sampled: Vec<_> = running
        .into_iter()
        .map(|one| (one.contender.name(), one.samples))
        .collect();
    let bases: Vec<_> = scenario.bases().iter().map(|base| base.name()).collect();
    let report = Report {
        scenario: scenario.name(),
        rounds: options.rounds,
        seconds: options.seconds,
        connections: CONNECTIONS,
        pinned: pinning.map(|pinning| (pinning.proxy.clone(), pinning.others.clone())),
        answer: scenario.answer(),
        contenders: rows(&sampled, &bases),
        bases,
        goals: measured(&sampled, &scenario.goals()),
    };
    Ok((report.table(), serde_json::to_value(&report)?))
}

fn hold(
    scenario: Scenario,
    options: &Options,
    stage: &Stage<'_>,
    pinning: Option<&Pinning>,
) -> Result<(String, Value)> {
    let (_origin, running) = start(scenario, options, stage, pinning, None)?;
    let client = idle::Client::new(scenario)?;
    let rows = running
        .iter()
        .map(|one| {
            let (name, count) = (one.contender.name(), options.idle);
            client.measure(name, &one.process, one.address, count)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let scenario = scenario.name();
    Ok((
        idle::table(scenario, options.idle, &rows),
        json!({ "scenario": scenario, "connections": options.idle, "held": rows }),
    ))
}

/// One round: loads one after the other. Round 0 fills pools and caches, and does not count.
fn play(load: &Load<'_>, running: &mut [Running], origin: &Origin) -> Result<()> {
    let round = load.before;
    for one in running {
        let load = Load {
            address: one.address,
            headers: one.contender.headers(load.scenario),
            ..*load
        };
        let sample = one.sample(&load, (round > 0).then_some(origin))?;
        if round > 0 {
            let (scenario, name) = (load.scenario.name(), one.contender.name());
            eprintln!(
                "{scenario}, round {round}: {name:<22}{:>8.2} us/request",
                sample.cpu_us
            );
            one.samples.push(sample);
        }
    }
    Ok(())
}

impl Running {
    /// Loads it once. What the origin got meanwhile is held against what was answered.
    fn sample(&self, load: &Load<'_>, origin: Option<&Origin>) -> Result<Sample> {
        let got = || origin.map(Origin::requests).transpose();
        let got_before = got()?;
        let before = self.process.used()?;
        let observed = load.run()?;
        let used = self.process.used()?;
        if let (Some(before), Some(after)) = (got_before, got()?) {
            // The second question is counted, too.
            let asked = after.saturating_sub(before + 1);
            check::origin_asked(self.contender, load.scenario, observed.requests, asked)?;
        }
        let each = |seconds: f64| seconds * 1e6 / observed.requests as f64;
        Ok(Sample {
            cpu_us: each(used.all - before.all),
            user_us: each(used.user - before.user),
            requests_per_second: observed.requests_per_second,
            p99_ms: observed.p99_ms,
            resident_bytes: self.process.resident_bytes()?,
        })
    }
}
