//! `wiregate top`.

mod exposition;
mod figures;
mod keys;
mod live;
mod page;
mod screen;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use wiregate_sdk::Registry;
use wiregate_sdk::types::Period;

use super::admin::{AdminArguments, Asking};
use super::{Failure, Outcome, colour, put};
use exposition::Exposition;
use figures::Figures;
use page::{Page, Sort};

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const SOONEST: Period = Period::millis(100);
const LATEST: Period = Period::seconds(3600);
/// How wide a table is for a pipe.
const WIDTH: usize = 120;

/// Show what a running gateway is doing: routes, upstreams and filters.
///
/// Rates and times are those of the interval between two looks at its metrics. Keys: `q` quits, `s` sorts
/// by requests, errors, time or name, arrows and Page Up and Down scroll.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// The time between two looks: 100ms to 1h.
    #[arg(long, default_value = "2s", value_parser = period)]
    every: Period,
    /// Print one table, over one interval, and end.
    #[arg(long)]
    once: bool,
    /// Print the same as JSON, and end.
    #[arg(long)]
    json: bool,
}

fn period(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    if (SOONEST..=LATEST).contains(&period) {
        return Ok(period);
    }
    Err(format!(
        "expected `{SOONEST}` to `{LATEST}`, found `{text}`"
    ))
}

pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    let live = !arguments.once && !arguments.json;
    if live && !std::io::stdout().is_terminal() {
        let why = "standard output is no terminal: ask for --once or --json";
        return Err(Failure::Other(why.into()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asking = arguments.admin.asking(PATIENCE)?;
    runtime.block_on(async {
        let first = look(&asking).await.map_err(Failure::Other)?;
        if live {
            return live::show(asking, first, arguments.every.get()).await;
        }
        tokio::time::sleep(arguments.every.get()).await;
        let second = look(&asking).await.map_err(Failure::Other)?;
        print(&Figures::between(&first, &second), arguments.json)
    })
}

/// One look at the metrics.
struct Look {
    at: Instant,
    metrics: Exposition,
}

async fn look(asking: &Asking) -> Result<Look, String> {
    let (status, body) = asking.get("/metrics").await?;
    if status != 200 {
        return Err(format!("the gateway answered {status}: {}", body.trim()));
    }
    Ok(Look {
        at: Instant::now(),
        metrics: Exposition::read(&body),
    })
}

fn print(figures: &Figures, json: bool) -> Outcome {
    let text = if json {
        let json = serde_json::to_string_pretty(figures);
        json.map_err(|error| Failure::Other(error.to_string()))? + "\n"
    } else {
        let colour = colour(&std::io::stdout());
        Page::of(figures, Sort::Requests).text(WIDTH, colour)
    };
    put(&text)
}
