//! `wiregate explain`.

mod answer;
mod asked;
mod page;

use std::net::IpAddr;

use wiregate_sdk::Registry;

use self::answer::Answer;
use self::asked::Asked;
use super::{ConfigArgument, Failure, Format, Outcome, colour, put};
use crate::observe::metrics::Metrics;
use crate::reload;

/// Say which route takes a request, and why.
///
/// Nothing is sent, and no gateway needs to run: the configuration is compiled as a start would,
/// and the request goes through the same checks, the same normalisation and the same look-up, as one
/// over HTTP/1.1 from a client that is no trusted proxy. Shows the route that wins, why the ones that
/// come close do not, and the filters that would run, in their order.
///
/// Exits with 0 where a route takes the request, whatever its filters make of it. Exits with 1 where
/// the gateway would answer by itself: no route (404), a request that is none or a path that is not
/// valid (400), CONNECT (405), a `when` without a value (500), and the like. Exits with 2 where the
/// command line is wrong, and with 78 where the configuration is refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The request's method, such as GET.
    method: String,
    /// `http://host/path?query`, or only a path and query. It is taken as it is written, so that
    /// `..`, escapes and odd characters can be tried; but clients send no fragment (`#…`) of a URL, and
    /// no user in it. With CONNECT, it is `host:port`.
    url: String,
    /// A header field of the request, as `name: value`; may be repeated, also with the same name. `host`
    /// goes before the URL's.
    #[arg(long, short = 'H', value_name = "FIELD")]
    header: Vec<String>,
    /// The client's address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    client: IpAddr,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(registry: &Registry, arguments: &Arguments) -> Outcome {
    let Arguments {
        method,
        url,
        header,
        client,
        ..
    } = arguments;
    let asked = Asked::read(method, url, header, *client).map_err(Failure::Usage)?;
    let loaded = reload::load(
        &arguments.config.config,
        registry,
        &Metrics::new(),
        reload::From::Paper,
    )
    .map_err(|refused| Failure::Refused(Box::new(refused)))?;
    let answer = Answer::find(&loaded.snapshot, registry, &asked);
    put(&match arguments.format {
        Format::Json => {
            let answer = serde_json::to_value(&answer).expect("an answer is plain data");
            format!("{answer:#}\n")
        }
        Format::Text => page::text(&answer, colour(&std::io::stdout())),
    })?;
    match answer.route {
        Some(_) => Ok(()),
        None => Err(Failure::No),
    }
}
