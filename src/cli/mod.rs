//! The command line, one file for each command.

mod admin;
mod cache;
mod cert;
mod check;
mod completions;
mod docs;
mod explain;
mod man;
mod ready;
mod reload;
mod run;
mod schema;
mod top;
mod upgrade;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use wiregate_sdk::Registry;

use crate::config::report;
use crate::reload::Refused;
use crate::systemd::is_journal;

/// The variable that says what is logged.
const LOG: &str = "WIREGATE_LOG";
/// What is told where nothing else is asked for. Libraries warn of what clients do: nobody is to fill the log by that.
const TOLD: &str = "info,h2=error,rustls=error,pingora_core=error,pingora_proxy=error";
/// A command failed.
const FAILED: u8 = 1;
/// The command line, or the environment, is wrong, as clap has it.
const USAGE: u8 = 2;
/// The configuration is refused (`EX_CONFIG` of sysexits).
const REFUSED: u8 = 78;

/// A programmable API gateway.
#[derive(Debug, Parser)]
#[command(name = "wiregate", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Explain(explain::Arguments),
    Ready(ready::Arguments),
    Reload(reload::Arguments),
    Upgrade(upgrade::Arguments),
    Schema(schema::Arguments),
    Docs(docs::Arguments),
    Man(man::Arguments),
    Completions(completions::Arguments),
    Cert(cert::Arguments),
    Cache(cache::Arguments),
    Top(top::Arguments),
    Echo(EchoArguments),
}

/// Answer each request with what it looked like, as JSON.
///
/// By query, an answer can be slow (`delay=200ms`), have another status (`status=503`), be large
/// (`bytes=1000000`), come in pieces (`stream=10&every=10ms`), or fail (`fail=close`).
#[derive(Debug, clap::Args)]
struct EchoArguments {
    /// An address to listen on; may be repeated.
    #[arg(long, default_value = "127.0.0.1:9001")]
    bind: Vec<SocketAddr>,
}

/// Which configuration a command is about.
#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file.
    #[arg(
        long,
        short,
        env = "WIREGATE_CONFIG",
        default_value = "/etc/wiregate/wiregate.yaml"
    )]
    config: PathBuf,
}

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a command comes to.
type Outcome = Result<(), Failure>;

/// Prints the answer of a command.
fn put(text: &str) -> Outcome {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

/// Why a command failed. What there was to say has been said on standard error by `report`.
enum Failure {
    /// The configuration is refused.
    Refused(Box<Refused>),
    /// The command's answer is no, and has been given.
    No,
    /// The command line asks for what cannot be.
    Usage(String),
    /// Anything else.
    Other(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Does what the command line says, with these filters: the `main` of every gateway.
#[must_use]
pub fn run(registry: Registry) -> ExitCode {
    // Pingora brings another provider along; whoever comes first is used by all TLS here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    if let Err(error) = log_to_stderr() {
        eprintln!("wiregate: {LOG}: {error}");
        return ExitCode::from(USAGE);
    }
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(registry, arguments),
        Command::Check(arguments) => check::run(&registry, &arguments),
        Command::Explain(arguments) => explain::run(&registry, &arguments),
        Command::Ready(arguments) => ready::run(&registry, &arguments),
        Command::Reload(arguments) => reload::run(&registry, &arguments),
        Command::Upgrade(arguments) => upgrade::run(&registry, &arguments),
        Command::Schema(arguments) => schema::run(&registry, &arguments),
        Command::Docs(arguments) => docs::run(&registry, &arguments),
        Command::Man(arguments) => man::run(&registry, &arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Cert(arguments) => cert::run(arguments),
        Command::Cache(arguments) => cache::run(&registry, &arguments),
        Command::Top(arguments) => top::run(&registry, &arguments),
        Command::Echo(arguments) => crate::echo::run(&arguments.bind).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(refused)) => {
            eprint!(
                "{}",
                report::text(
                    &refused.problems,
                    &refused.sources,
                    colour(&std::io::stderr())
                )
            );
            ExitCode::from(REFUSED)
        }
        Err(Failure::No) => ExitCode::from(FAILED),
        Err(Failure::Usage(message)) => {
            eprintln!("wiregate: {message}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Other(message)) => {
            eprintln!("wiregate: {message}");
            ExitCode::from(FAILED)
        }
    }
}

/// The command line, as manual pages and completions are made of it.
fn command() -> clap::Command {
    Arguments::command()
}

/// Whether an output takes colours (<https://no-color.org>).
fn colour(output: &impl IsTerminal) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && output.is_terminal()
}

/// The gateway's own log goes to standard error; the journal adds the time itself.
///
/// # Errors
/// What is to be told cannot be understood.
fn log_to_stderr() -> Result<(), impl Display> {
    use tracing_subscriber::EnvFilter;
    let filter = match std::env::var_os(LOG) {
        Some(_) => EnvFilter::try_from_env(LOG)?,
        None => EnvFilter::new(TOLD),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour(&std::io::stderr()))
        .with_target(false);
    // Another one is there already when a gateway runs inside a test.
    let _ = if is_journal(std::io::stderr()) {
        log.without_time().try_init()
    } else {
        log.try_init()
    };
    Ok::<_, tracing_subscriber::filter::FromEnvError>(())
}
