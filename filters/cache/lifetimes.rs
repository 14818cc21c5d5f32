//! How long responses are fresh, by status.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use wiregate_sdk::JsonSchema;
use wiregate_sdk::cache::Statuses;
use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::serde::{Deserialize, Deserializer};
use wiregate_sdk::types::{Pairs, Period};
use wiregate_sdk::value::ShortOrFull;

/// One time for all responses that are cacheable by default, or one for each status.
pub(super) type Lifetimes = ShortOrFull<Period, Pairs<StatusRange, Period>>;

/// The statuses that one time alone holds for: those that are cacheable by default (RFC 9110, 15.1).
const BY_DEFAULT: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Statuses: one (`404`), a class (`4xx`), or all (`any`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusRange(Statuses);

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = |first, last| Ok(Self(Statuses { first, last }));
        if text == "any" {
            return range(200, 599);
        }
        if let Some(class) = text.strip_suffix("xx")
            && let Ok(class @ 2..=5) = class.parse::<u16>()
            && text.len() == 3
        {
            return range(class * 100, class * 100 + 99);
        }
        match text.parse::<u16>() {
            Ok(status @ (206 | 304)) => Err(format!(
                "expected the status of a whole response, found `{status}`, which is never stored"
            )),
            Ok(status @ 200..=599) if text.len() == 3 => range(status, status),
            _ => Err(format!(
                "expected a status such as `404`, a class such as `4xx`, or `any`, found `{text}`"
            )),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statuses { first, last } = self.0;
        match last - first {
            0 => write!(f, "{first}"),
            99 => write!(f, "{}xx", first / 100),
            _ => f.write_str("any"),
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A status such as `404`, a class such as `4xx`, or `any`.",
            "pattern": "^([2-5][0-9][0-9]|[2-5]xx|any)$"
        })
    }
}

/// The times by status, single statuses before classes, classes before all.
pub(super) fn by_status(lifetimes: Option<Lifetimes>) -> Vec<(Statuses, std::time::Duration)> {
    match lifetimes {
        None => Vec::new(),
        Some(ShortOrFull::Short(time)) => BY_DEFAULT
            .iter()
            .map(|status| {
                (
                    Statuses {
                        first: *status,
                        last: *status,
                    },
                    time.get(),
                )
            })
            .collect(),
        Some(ShortOrFull::Full(pairs)) => {
            let each = pairs.into_iter().map(|(range, time)| (range.0, time.get()));
            let mut all: Vec<_> = each.collect();
            all.sort_by_key(|(range, _)| range.last - range.first);
            all
        }
    }
}
