//! Asking a running gateway over its admin API.

use std::time::Duration;

use super::{ConfigArgument, Failure};
use crate::admin::Bind;
use crate::config::{Environment, Read, read_all};
use crate::reload::Refused;

/// Which gateway a command asks.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The admin API's address, where it is not the one in the configuration: `127.0.0.1:9901`
    /// or `unix:/path`.
    #[arg(long)]
    admin: Option<String>,
}

impl AdminArguments {
    /// Posts nothing to this path, and returns the status and the body of the answer.
    pub(super) fn ask(&self, path: &str, patience: Duration) -> Result<(u16, String), Failure> {
        let bind = match &self.admin {
            Some(admin) => admin.clone(),
            None => self.configured()?,
        };
        let bind = Bind::parse(&bind).map_err(Failure::Other)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime
            .block_on(post(&bind, path, patience))
            .map_err(|error| Failure::Other(format!("the gateway cannot be asked: {error}")))
    }

    /// The admin API's address in the configuration, which may be wrong in what it means, but not in
    /// how it is written.
    fn configured(&self) -> Result<String, Failure> {
        let path = &self.config.config;
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
                "{} has no `admin: {{ bind: … }}`: give it one, or name it with --admin",
                path.display()
            ))
        })
    }
}

async fn post(bind: &Bind, path: &str, patience: Duration) -> reqwest::Result<(u16, String)> {
    let client = reqwest::Client::builder().timeout(patience).no_proxy();
    let (client, url) = match bind {
        Bind::Tcp(address) => (client, format!("http://{address}{path}")),
        Bind::Unix(socket) => (
            client.unix_socket(socket.as_path()),
            format!("http://localhost{path}"),
        ),
    };
    let answer = client.build()?.post(url).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
