//! Which servers keep shared counts, and how a connection to them is made.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisResult,
};
use sha2::{Digest, Sha256};
use wiregate_sdk::types::{OneOrMany, Period, Secret};
use wiregate_sdk::{Deserialize, Invalid, JsonSchema};

/// How long one node may take to be connected to.
const CONNECT: Duration = Duration::from_millis(500);
/// A request that waits longer helps nobody.
const LONGEST_DEADLINE: Period = Period::seconds(10);
/// How often a cluster is asked again: another node has the key by now.
const REDIRECTIONS: u32 = 2;

/// Redis 5 or later, or Valkey.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Redis {
    /// The server's address: `redis://10.0.0.5:6379`, `rediss://…` for TLS with the system's
    /// authorities, or `redis+unix:///run/redis.sock`; a number behind it (`/2`) is a database. Of a
    /// cluster some of the nodes, and of sentinels all of these.
    pub(super) at: OneOrMany<String>,
    /// What is at these addresses.
    #[serde(default)]
    #[schemars(extend("default" = "single"))]
    pub(super) kind: Kind,
    /// The name under which sentinels know the master.
    #[serde(default)]
    pub(super) master: Option<String>,
    /// The user to log in as (ACL); the default user when absent.
    #[serde(default)]
    pub(super) username: Option<String>,
    /// The password: a reference.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// The password of the sentinels: a reference.
    #[serde(default)]
    pub(super) sentinel_password: Option<Secret>,
    /// How long a request waits for the store, 10 s at most.
    #[serde(default = "deadline")]
    pub(super) deadline: Period,
    /// What all keys begin with. Gateways with the same prefix and the same configuration count
    /// together.
    #[serde(default = "prefix")]
    pub(super) prefix: String,
}

/// What is at the addresses of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars", rename = "RedisKind")]
pub enum Kind {
    /// One server.
    #[default]
    Single,
    /// Nodes of a cluster. One key lives on one node.
    Cluster,
    /// Sentinels, which know the master.
    Sentinel,
}

fn deadline() -> Period {
    Period::millis(50)
}

fn prefix() -> String {
    "wiregate".to_owned()
}

/// Servers that can be connected to.
pub(super) struct Servers {
    at: Vec<ConnectionInfo>,
    kind: Kind,
    master: String,
    username: Option<String>,
    password: Option<Secret>,
    sentinel_password: Option<Secret>,
}

/// A connection.
pub(super) enum Line {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Line {
    pub(super) async fn query<T: FromRedisValue>(&self, call: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(line) => call.query_async(&mut line.clone()).await,
            Self::Cluster(line) => call.query_async(&mut line.clone()).await,
        }
    }
}

impl Redis {
    /// The options of one server at this address.
    pub(super) fn at(address: String) -> Self {
        Self {
            at: address.into(),
            kind: Kind::Single,
            master: None,
            username: None,
            password: None,
            sentinel_password: None,
            deadline: deadline(),
            prefix: prefix(),
        }
    }

    /// Tells these servers, and who logs in there, from others, and shows no password.
    pub(super) fn identity(&self) -> String {
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|it| digest(&[it.expose()]));
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            self.at,
            self.kind,
            self.master,
            self.username,
            secret(&self.password),
            secret(&self.sentinel_password)
        )
    }
}

impl Redis {
    /// What of the options does not go together, or is out of bounds.
    fn contradictions(&self, place: &str) -> Invalid {
        let mut invalid = Invalid::default();
        let mut refuse = |refused: bool, option: &str, message: &str| {
            if refused {
                invalid.and(Invalid::at(format!("{place}.{option}"), message));
            }
        };
        let sentinel = self.kind == Kind::Sentinel;
        let (several, no_master) = (self.at.len() > 1, self.master.is_none());
        let message = "expected a `master` with `kind: sentinel`";
        refuse(sentinel && no_master, "kind", message);
        let message = "expected with `kind: sentinel` only";
        refuse(!sentinel && !no_master, "master", message);
        let password = self.sentinel_password.is_some();
        refuse(!sentinel && password, "sentinel_password", message);
        let message = "expected one address, or `kind: cluster` or `sentinel`";
        refuse(self.kind == Kind::Single && several, "at", message);
        let message = "expected a `password` as well";
        refuse(
            self.username.is_some() && self.password.is_none(),
            "username",
            message,
        );
        let message = format!(
            "expected at most {LONGEST_DEADLINE}, found `{}`",
            self.deadline
        );
        refuse(self.deadline > LONGEST_DEADLINE, "deadline", &message);
        invalid
    }
}

impl Servers {
    /// Servers as they are written. Nothing is asked of them.
    ///
    /// # Errors
    /// What is wrong with the options, below this place.
    pub(super) fn new(options: &Redis, place: &str) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        let mut at = Vec::new();
        for (position, text) in options.at.iter().enumerate() {
            let place = match options.at.len() {
                1 => format!("{place}.at"),
                _ => format!("{place}.at[{position}]"),
            };
            match address(text, options.kind) {
                Ok(address) => at.push(address),
                Err(message) => invalid.and(Invalid::at(place, message)),
            }
        }
        invalid.and(options.contradictions(place));
        invalid.into_result()?;
        Ok(Self {
            at,
            kind: options.kind,
            master: options.master.clone().unwrap_or_default(),
            username: options.username.clone(),
            password: options.password.clone(),
            sentinel_password: options.sentinel_password.clone(),
        })
    }

    /// A connection to a server that answers.
    pub(super) async fn connect(&self) -> RedisResult<Line> {
        let line = match self.kind {
            Kind::Single => Line::One(self.single().await?),
            Kind::Cluster => Line::Cluster(self.cluster().await?),
            Kind::Sentinel => Line::One(self.sentinel().await?),
        };
        if self.kind != Kind::Cluster {
            line.query::<()>(&redis::cmd("PING")).await?;
        }
        Ok(line)
    }

    async fn single(&self) -> RedisResult<MultiplexedConnection> {
        let client = Client::open(self.with_credentials(&self.at[0]))?;
        // Its own time-outs are not needed: whoever calls has one.
        let times = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&times)
            .await
    }

    fn with_credentials(&self, at: &ConnectionInfo) -> ConnectionInfo {
        let mut login = at.redis_settings().clone();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        at.clone().set_redis_settings(login)
    }

    async fn cluster(&self) -> RedisResult<ClusterConnection> {
        let nodes = self.at.iter().map(|at| self.with_credentials(at));
        let cluster = ClusterClientBuilder::new(nodes)
            .retries(REDIRECTIONS)
            .connection_timeout(CONNECT)
            .response_timeout(CONNECT);
        cluster.build()?.get_async_connection().await
    }

    async fn sentinel(&self) -> RedisResult<MultiplexedConnection> {
        let at = self.at.iter().map(|at| at.addr().clone());
        let mut client = SentinelClientBuilder::new(at, &self.master, SentinelServerType::Master)?
            .set_client_to_redis_db(self.at[0].redis_settings().db());
        if matches!(self.at[0].addr(), redis::ConnectionAddr::TcpTls { .. }) {
            client = client
                .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(redis::TlsMode::Secure);
        }
        if let Some(username) = &self.username {
            client = client.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            client = client.set_client_to_redis_password(password.expose());
        }
        if let Some(password) = &self.sentinel_password {
            client = client.set_client_to_sentinel_password(password.expose());
        }
        client.build()?.get_async_connection().await
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, at) in self.at.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{}", at.addr())?;
        }
        Ok(())
    }
}

fn address(text: &str, kind: Kind) -> Result<ConnectionInfo, String> {
    if text.contains('@') {
        return Err(
            "expected an address without a user and a password, which have options of \
                    their own"
                .to_owned(),
        );
    }
    let plain = !text.contains(['#', '?']);
    let info = text.into_connection_info().ok().filter(|_| plain);
    let info = info.ok_or_else(|| {
        format!("expected an address such as `redis://10.0.0.5:6379`, found `{text}`")
    })?;
    let local = matches!(info.addr(), redis::ConnectionAddr::Unix(_));
    if local && kind != Kind::Single {
        return Err(format!(
            "expected a socket with `kind: single` only, found `{text}`"
        ));
    }
    if kind == Kind::Cluster && info.redis_settings().db() != 0 {
        return Err(format!("a cluster has one database only, found `{text}`"));
    }
    Ok(info)
}

/// Half of the SHA-256 of these texts, in hexadecimal digits.
pub(super) fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let hash = hash.finalize();
    hash[..16]
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(digit), 16).expect("four bits"));
            }
            hex
        })
}
