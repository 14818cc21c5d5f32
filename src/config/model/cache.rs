//! Where the cache keeps responses.

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Size;
use wiregate_sdk::value::At;

/// A store of the cache, which filters use by its name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// The memory that it may take, everything counted: bodies, heads, keys and the index. The gaps that come and go
    /// between blocks of memory come to about an eighth of it at most.
    pub memory: At<Size>,
    /// The largest body that is stored; an eighth of the memory when absent.
    pub largest: Option<At<Size>>,
    /// A disk behind the memory, whose content survives restarts.
    pub disk: Option<Disk>,
}

/// A folder that belongs to one store of one gateway.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The folder, relative to the configuration file; made where it does not exist.
    pub path: At<String>,
    /// The space that its files may take; at least 16MiB.
    pub size: At<Size>,
}

/// What a store has where none is configured.
const MEMORY: Size = Size::mib(64);

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: At::nowhere(MEMORY),
            largest: None,
            disk: None,
        }
    }
}
