//! Asking a running gateway over its admin API.

use std::time::Duration;

use super::{ConfigArgument, Failure};
use crate::admin;
use crate::config::model::Bind;
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let asking = self.asking(patience)?;
        runtime.block_on(asking.post(path)).map_err(Failure::Other)
    }

    /// The way to ask, more than once.
    pub(super) fn asking(&self, patience: Duration) -> Result<Asking, Failure> {
        let bind = match &self.admin {
            Some(admin) => admin.clone(),
            None => self.configured()?,
        };
        let bind = admin::address(&bind).map_err(Failure::Other)?;
        Asking::new(&bind, patience).map_err(|error| Failure::Other(unasked(&error)))
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

/// The way to a running gateway.
pub(super) struct Asking {
    client: reqwest::Client,
    base: String,
}

impl Asking {
    fn new(bind: &Bind, patience: Duration) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().timeout(patience).no_proxy();
        let (client, base) = match bind {
            Bind::Tcp(address) => (client, format!("http://{address}")),
            Bind::Unix(socket) => (
                client.unix_socket(socket.as_path()),
                "http://localhost".to_owned(),
            ),
        };
        Ok(Self {
            client: client.build()?,
            base,
        })
    }

    /// Gets what is at this path: the status and the body of the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let request = self.client.get(format!("{}{path}", self.base));
        answer(request).await.map_err(|error| unasked(&error))
    }

    async fn post(&self, path: &str) -> Result<(u16, String), String> {
        let request = self.client.post(format!("{}{path}", self.base));
        answer(request).await.map_err(|error| unasked(&error))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, String)> {
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn unasked(error: &reqwest::Error) -> String {
    // What is at the bottom of it says more than the address, which the caller knows.
    let mut why: &dyn std::error::Error = error;
    while let Some(source) = why.source() {
        why = source;
    }
    format!("the gateway cannot be asked: {why}; does it run, with this admin listener?")
}
