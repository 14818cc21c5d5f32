//! What a configuration file says about the access log.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::{Percent, Period, Size};
use wiregate_sdk::value::{At, ShortOrFull};
use wiregate_sdk::{Condition, Expression};

use super::upstream::health::Statuses;
use crate::observe::access_log::{Address, Facility, Fact, Header, Severity};

/// The access log in one word, or in full.
pub type AccessLog = ShortOrFull<AccessLogPlace, AccessLogOptions>;

/// Where lines go, and nothing else to say about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogPlace {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
}

/// An access log. Without `file` and `syslog` it goes to standard output.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogOptions {
    /// The file that lines are added to, relative to the configuration file; opened anew on SIGUSR1.
    pub file: Option<At<String>>,
    /// The syslog receiver that lines are sent to: `unix:/dev/log`, `udp://HOST:PORT`,
    /// `tcp://HOST:PORT`, or in full.
    pub syslog: Option<At<ShortOrFull<Address, Syslog>>>,
    /// When the file is put aside for a new one; never when absent.
    pub rotate: Option<At<Rotate>>,
    /// What a line looks like.
    pub format: LineFormat,
    /// What is in a line, in this order; everything that has a name when absent.
    pub fields: Option<At<Vec<At<Field>>>>,
    /// What is masked besides what always is.
    pub redact: Redact,
    /// The share of requests that have a line, and those that have one in any case; all when absent.
    pub sample: Option<ShortOrFull<Percent, Sample>>,
    /// Only requests for which this holds have a line.
    pub when: Option<Condition>,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineFormat {
    /// An object of JSON.
    #[default]
    Json,
    /// `name=value`, separated by spaces; a value that is more than one word is a JSON string.
    Text,
    /// The Combined Log Format of Apache and nginx. It has its own fields.
    Combined,
}

/// What a line has: a fact by its name, or an expression with a name.
pub type Field = ShortOrFull<Fact, IndexMap<String, At<Expression>>>;

/// What is masked besides what always is: credentials, the values of cookies, and fields and parameters with
/// the names of secrets.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redact {
    /// Further header fields whose values are masked.
    pub fields: Vec<At<String>>,
    /// Further parameters of queries whose values are masked.
    pub query: Vec<At<String>>,
    /// What is no secret here, although its name is one of a secret.
    pub show: Shown,
}

/// What is no secret, although its name is one of a secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shown {
    /// Header fields. `authorization`, `proxy-authorization`, `cookie` and `set-cookie` are never shown.
    pub fields: Vec<At<String>>,
    /// Parameters of queries.
    pub query: Vec<At<String>>,
    /// Cookies.
    pub cookies: Vec<At<String>>,
}

/// A share of the requests, and those that have a line in any case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The share of the requests that have a line, drawn by chance.
    pub share: Percent,
    /// Requests that are answered with one of these have a line in any case; and those that got no
    /// answer, or one that broke off.
    #[serde(default = "failures")]
    pub statuses: Statuses,
    /// Requests that take as long as this have a line in any case.
    #[serde(default = "one_second")]
    pub slower_than: Period,
}

impl Sample {
    /// What a share alone stands for.
    pub fn of(share: Percent) -> Self {
        Self {
            share,
            statuses: failures(),
            slower_than: one_second(),
        }
    }
}

/// When a file is put aside, and how many are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Before the file would be larger than that; at least 1MiB.
    #[serde(default)]
    pub size: Option<At<Size>>,
    /// When the file is that old; at least 1m.
    #[serde(default)]
    pub every: Option<At<Period>>,
    /// How many files are kept beside the present one, 1 to 1000; the oldest are removed.
    #[serde(default = "ten")]
    pub keep: At<u32>,
}

/// A syslog receiver, and what messages say of themselves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// Where it is: `unix:/dev/log`, `udp://HOST:PORT` or `tcp://HOST:PORT`.
    pub to: Address,
    /// What the head of a message looks like.
    #[serde(default)]
    pub header: Header,
    /// What kind of program messages are from.
    #[serde(default)]
    pub facility: Facility,
    /// How much messages matter.
    #[serde(default)]
    pub severity: Severity,
    /// The program's name in messages: 1 to 48 letters, digits, `-`, `_` and `.`.
    #[serde(default = "wiregate")]
    pub tag: At<String>,
}

impl Syslog {
    /// What an address alone stands for.
    pub fn at(to: Address) -> Self {
        Self {
            to,
            header: Header::default(),
            facility: Facility::default(),
            severity: Severity::default(),
            tag: wiregate(),
        }
    }
}

fn failures() -> Statuses {
    Statuses::range(500, 599)
}

fn one_second() -> Period {
    Period::seconds(1)
}

fn ten() -> At<u32> {
    At::nowhere(10)
}

fn wiregate() -> At<String> {
    At::nowhere("wiregate".to_owned())
}
