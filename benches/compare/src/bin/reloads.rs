//! `reloads [--rate N] [--rounds N] [--seconds N] [--binaries FOLDER]`: what reloading ten thousand
//! routes twice a second does to the requests meanwhile.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wiregate_bench::alone::Alone;
use wiregate_bench::command::{self, Result};
use wiregate_bench::contender::Contender;
use wiregate_bench::paced::{self, Latency, Pace};
use wiregate_bench::scenario::Scenario;

/// The time between two reloads.
const EVERY: Duration = Duration::from_millis(500);
const SCENARIO: Scenario = Scenario::Http1;
const USAGE: &str = "\
reloads [--rate N] [--rounds N] [--seconds N] [--binaries FOLDER]
  --rate N           requests per second (4000)
  --rounds N         how many rounds without reloads, and as many with them (5)
  --seconds N        how long a round lasts (5)
  --binaries FOLDER  where `wiregate` is; this program's folder when absent
";

struct Options {
    rate: u32,
    rounds: u32,
    seconds: u32,
    binaries: PathBuf,
}

fn main() -> ExitCode {
    command::main(options(env::args().skip(1)), USAGE, run)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        rate: 4000,
        rounds: 5,
        seconds: 5,
        binaries: command::folder()?,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("expected a value at the end")?;
        match argument.as_str() {
            "--rate" => options.rate = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--binaries" => options.binaries = value.into(),
            _ => return Err(format!("expected an option, found {argument:?}").into()),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<()> {
    let gateway = Alone::start(Contender::TenThousand, SCENARIO, &options.binaries)?;
    let pace = Pace {
        address: gateway.address,
        host: "h57.example.com",
        path: SCENARIO.path(),
        rate: options.rate,
        seconds: options.seconds,
    };
    let load = || paced::run(&pace, gateway.folder(), gateway.others.as_deref());
    let mut out = io::stdout();
    load()?; // fills pools and caches, and does not count
    writeln!(
        out,
        "round     reloads  requests  p50 ms  p99 ms  p99.9 ms  max ms"
    )?;
    for round in 1..=options.rounds {
        writeln!(out, "{}", row(round, 0, &load()?))?;
        let (latency, reloads) = reloading(&gateway, load)?;
        writeln!(out, "{}", row(round, reloads, &latency))?;
    }
    Ok(())
}

fn row(round: u32, reloads: usize, latency: &Latency) -> String {
    let Latency {
        requests,
        p50,
        p99,
        p999,
        max,
    } = latency;
    format!("{round:<8} {reloads:>8} {requests:>9} {p50:>7.2} {p99:>7.2} {p999:>9.2} {max:>7.2}")
}

/// Reloads all the while that the load lasts; how often a configuration went live.
fn reloading(
    gateway: &Alone,
    load: impl FnOnce() -> io::Result<Latency>,
) -> Result<(Latency, usize)> {
    let name = format!("{}-{}", SCENARIO.name(), Contender::TenThousand.name());
    let log = gateway.folder().join(format!("{name}.log"));
    let live = || fs::read_to_string(&log).map(|log| log.matches("configuration is live").count());
    let before = live()?;
    let over = AtomicBool::new(false);
    let latency = thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = Instant::now();
            while !over.load(Ordering::Relaxed) {
                gateway.process.signal("HUP");
                next += EVERY;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let latency = load();
        over.store(true, Ordering::Relaxed);
        latency
    })?;
    let reloads = live()? - before;
    match reloads {
        0 => Err("expected reloads, found none in the gateway's log".into()),
        reloads => Ok((latency, reloads)),
    }
}
