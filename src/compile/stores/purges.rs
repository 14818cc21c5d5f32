//! What was purged in the stores of one process, on its way to those of another.

use serde::{Deserialize, Serialize};

use crate::cache::store::{Mode, What};

/// What was purged in a store, as another process gets to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purges {
    /// The name of the store; of all where there is none.
    pub(super) cache: Option<String>,
    /// Its folder, which the other process may have under another name.
    pub(super) folder: Option<String>,
    pub(super) each: Vec<(What, Mode)>,
}

impl Purges {
    /// Reads them. Whatever another version says that this one does not know is everything, in all stores.
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "what another process has purged cannot be read: all caches are emptied");
            Self::all()
        })
    }

    /// Everything, in all stores.
    pub fn all() -> Self {
        Self {
            cache: None,
            folder: None,
            each: vec![(What::All, Mode::Hard)],
        }
    }

    /// Whether they are for the store of this name, with this folder.
    pub(super) fn are_for(&self, name: &str, folder: Option<&str>) -> bool {
        let same_folder = folder.is_some() && folder == self.folder.as_deref();
        same_folder || self.cache.as_deref().is_none_or(|cache| cache == name)
    }
}
