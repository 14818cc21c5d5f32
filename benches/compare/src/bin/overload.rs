//! `overload [--seconds N] [--rounds N] [--binaries FOLDER]`: what the gateway does with three times
//! the requests that it can do, and what a polite client keeps beside others that are not.
//!
//! The load and the attacks run as children of this program, on other processors than the gateway.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use wiregate_bench::alone::Alone;
use wiregate_bench::attack::Attack;
use wiregate_bench::command::{self, Result};
use wiregate_bench::contender::Contender;
use wiregate_bench::generator::{self, How, Load, Outcome};
use wiregate_bench::process::{Process, pinned, raise_descriptors};
use wiregate_bench::scenario::Scenario;

const SCENARIO: Scenario = Scenario::Http1;
/// Connections of a closed loop: enough to keep the gateway busy, and too few to overload it.
const POLITE: usize = 16;
/// The first seconds of each load do not count.
const SKIP: f64 = 2.0;
const ATTACKS: [Attack; 3] = [
    Attack::SlowHeads { connections: 4000 },
    Attack::Idle { connections: 4000 },
    Attack::Resets { each_second: 1000 },
];
const USAGE: &str = "\
overload [--seconds N] [--rounds N] [--binaries FOLDER]
  --seconds N        how long each load lasts, the first 2 s of which do not count (10)
  --rounds N         how often all of it is done (3)
  --binaries FOLDER  where `wiregate` is; this program's folder when absent
";

enum Options {
    Run {
        seconds: f64,
        rounds: u32,
        binaries: PathBuf,
    },
    /// As a child.
    Generate(Load),
    Attack(SocketAddr, Attack),
}

fn main() -> ExitCode {
    command::main(options(env::args().skip(1).collect()), USAGE, run)
}

fn options(arguments: Vec<String>) -> Result<Options> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--generate", address, how, count, seconds] => {
            let how = match how {
                "open" => How::Open {
                    rate: count.parse()?,
                },
                _ => How::Closed {
                    connections: count.parse()?,
                },
            };
            return Ok(Options::Generate(Load {
                address: address.parse()?,
                how,
                seconds: seconds.parse()?,
                skip: SKIP,
            }));
        }
        ["--attack", address, name, count] => {
            let attack = Attack::read(name, count.parse()?);
            let attack = attack.ok_or_else(|| format!("expected an attack, found {name:?}"))?;
            return Ok(Options::Attack(address.parse()?, attack));
        }
        _ => {}
    }
    let mut binaries = command::folder()?;
    let (mut seconds, mut rounds) = (10.0, 3);
    for pair in words.chunks(2) {
        match *pair {
            ["--seconds", value] => seconds = value.parse()?,
            ["--rounds", value] => rounds = value.parse()?,
            ["--binaries", value] => binaries = value.into(),
            _ => return Err(format!("expected an option and its value, found {pair:?}").into()),
        }
    }
    if seconds <= SKIP {
        return Err(format!("expected more than {SKIP} seconds, found {seconds}").into());
    }
    Ok(Options::Run {
        seconds,
        rounds,
        binaries,
    })
}

fn run(options: &Options) -> Result<()> {
    match options {
        Options::Generate(load) => {
            let outcome = generator::run(*load)?;
            writeln!(io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
            Ok(())
        }
        Options::Attack(address, attack) => Ok(attack.run(*address)?),
        Options::Run {
            seconds,
            rounds,
            binaries,
        } => all(*seconds, *rounds, binaries),
    }
}

fn all(seconds: f64, rounds: u32, binaries: &Path) -> Result<()> {
    raise_descriptors();
    let gateway = Alone::start(Contender::Overload, SCENARIO, binaries)?;
    let run = Run { gateway, seconds };
    for round in 1..=rounds {
        writeln!(io::stdout(), "round {round}")?;
        run.overload()?;
        run.attacks()?;
    }
    Ok(())
}

struct Run {
    gateway: Alone,
    seconds: f64,
}

impl Run {
    /// 70 % and 300 % of what the gateway can do.
    fn overload(&self) -> Result<()> {
        let most = self.generate("closed", POLITE as f64)?;
        let capacity = most.accepted_per_second;
        let row = |what: &str, rate: f64, outcome: &Outcome| {
            let Outcome {
                accepted,
                shed,
                failed,
                unsent,
                accepted_per_second,
                p50,
                p99,
                shed_p50,
                shed_p99,
                late_p99,
            } = outcome;
            let share = 100.0 * *shed as f64 / (accepted + shed).max(1) as f64;
            writeln!(
                io::stdout(),
                "{what:<8} {rate:>8.0} {accepted_per_second:>11.0} {share:>7.1} {p50:>8.2} {p99:>8.2} \
                 {shed_p50:>9.2} {shed_p99:>9.2} {failed:>7} {unsent:>7} {late_p99:>8.2}"
            )
        };
        writeln!(
            io::stdout(),
            "load        req/s  accepted/s  shed %   p50 ms   p99 ms  503: p50       p99  failed  unsent  late ms"
        )?;
        row("most", capacity, &most)?;
        let usual = self.generate("open", capacity * 0.7)?;
        row("70 %", capacity * 0.7, &usual)?;
        let flood = self.generate("open", capacity * 3.0)?;
        row("300 %", capacity * 3.0, &flood)?;
        writeln!(
            io::stdout(),
            "p99 of accepted requests at 300 % against 70 %: {:.2} (goal: at most 3)",
            flood.p99 / usual.p99
        )?;
        if flood.unsent > 0 {
            writeln!(
                io::stdout(),
                "the load was lower than 300 %: it had no connection left"
            )?;
        }
        Ok(())
    }

    /// What a polite client keeps beside each attack.
    fn attacks(&self) -> Result<()> {
        let alone = self.generate("closed", POLITE as f64)?.accepted_per_second;
        writeln!(io::stdout(), "a polite client alone: {alone:.0} requests/s")?;
        for attack in ATTACKS {
            let (name, count) = attack.written();
            let mut command = self.child("--attack")?;
            command.args([name, &count.to_string()]);
            let _attacking = Process::start(name, command, self.gateway.folder())?;
            let beside = self.generate("closed", POLITE as f64)?;
            let share = 100.0 * beside.accepted_per_second / alone;
            writeln!(
                io::stdout(),
                "beside {name} ({count}): {:.0} requests/s, {share:.1} % (goal: at least 90), {} shed, {} failed",
                beside.accepted_per_second,
                beside.shed,
                beside.failed
            )?;
        }
        Ok(())
    }

    fn generate(&self, how: &str, count: f64) -> Result<Outcome> {
        let mut command = self.child("--generate")?;
        command.args([how, &count.to_string(), &self.seconds.to_string()]);
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the load ended with {}:\n{said}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// This program again, with something else to do to the gateway.
    fn child(&self, what: &str) -> Result<Command> {
        let mut command = pinned(&env::current_exe()?, self.gateway.others.as_deref());
        command.args([what, &self.gateway.address.to_string()]);
        Ok(command)
    }
}
