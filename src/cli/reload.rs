//! `wiregate reload`.

use std::time::Duration;

use serde_json::Value;
use wiregate_sdk::Registry;

use super::{ConfigArgument, Failure, Outcome, REFUSED};
use crate::admin::Bind;
use crate::config::{Environment, Read, read_all};
use crate::reload::Refused;

/// Longer than any reload takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Make a running gateway read its configuration again.
///
/// Asks the gateway over its admin API, whose address the configuration gives, and prints the
/// problems where the new configuration is refused: the running one stays, and the exit code is
/// 78.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The admin API's address, where it is not the one in the configuration: `127.0.0.1:9901`
    /// or `unix:/path`.
    #[arg(long)]
    admin: Option<String>,
    /// Wait for the outcome. (A gateway answers when it is known; the word is for scripts that
    /// want to say so.)
    #[arg(long)]
    wait: bool,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    let bind = match &arguments.admin {
        Some(admin) => admin.clone(),
        None => configured(arguments)?,
    };
    let bind = Bind::parse(&bind).map_err(Failure::Other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (status, body) = runtime
        .block_on(ask(&bind))
        .map_err(|error| Failure::Other(format!("the gateway cannot be asked: {error}")))?;
    let answer: Value = serde_json::from_str(&body)
        .map_err(|_| Failure::Other(format!("the gateway answered {status}: {}", body.trim())))?;
    if let Some(generation) = answer.get("generation") {
        println!("configuration {generation} is live");
        return Ok(());
    }
    eprint!(
        "{}",
        answer.get("text").and_then(Value::as_str).unwrap_or(&body)
    );
    eprintln!("wiregate: the new configuration is refused, the running one stays");
    std::process::exit(REFUSED.into());
}

/// The admin API's address in the configuration, which may be wrong in what it means, but not in
/// how it is written.
fn configured(arguments: &Arguments) -> Result<String, Failure> {
    let path = &arguments.config.config;
    let Read {
        sources,
        value,
        problems,
    } = read_all(path, &Environment::of_process());
    let Some(value) = value else {
        let refused = Refused { sources, problems };
        return Err(Failure::Refused(Box::new(refused)));
    };
    let bind = value
        .get("admin")
        .and_then(|admin| admin.get("bind")?.text());
    bind.map(str::to_owned).ok_or_else(|| {
        Failure::Other(format!(
            "{} has no `admin: {{ bind: … }}`: give it one, name it with --admin, or send SIGHUP",
            path.display()
        ))
    })
}

async fn ask(bind: &Bind) -> reqwest::Result<(u16, String)> {
    let client = reqwest::Client::builder().timeout(DEADLINE).no_proxy();
    let (client, url) = match bind {
        Bind::Tcp(address) => (client, format!("http://{address}/reload")),
        Bind::Unix(path) => (
            client.unix_socket(path.as_path()),
            "http://localhost/reload".to_owned(),
        ),
    };
    let answer = client.build()?.post(url).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
