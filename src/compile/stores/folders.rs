//! Whether the stores can have their folders.

use indexmap::IndexMap;
use wiregate_sdk::types::Size;
use wiregate_sdk::value::{At, Problem};

use super::super::files::beside;
use super::NamedStore;
use crate::cache::store::Disk;
use crate::config::model;

impl NamedStore {
    /// Why it will not have its folder, where it is to have one that it has not. The folder is left as it is.
    pub fn lacks_folder(&self) -> Option<String> {
        let disk = self.options.disk.as_ref()?;
        let look = self.opened.load().is_none().then(|| disk.look());
        let error = look?.err()?;
        let name = &self.name;
        Some(format!(
            "the cache `{name}` cannot have this folder: {error}"
        ))
    }
}

/// Says what is wrong with the folders of these stores, as they are configured. Whether the system gives them matters
/// where the configuration runs.
pub(super) fn check(
    config: &IndexMap<String, At<model::Cache>>,
    stores: &[NamedStore],
    runs: bool,
    problems: &mut Vec<Problem>,
) {
    let mut seen: Vec<&At<String>> = Vec::new();
    let disks = config.values().map(|config| config.disk.as_ref());
    for (store, disk) in stores.iter().zip(disks) {
        let Some(disk) = disk else { continue };
        check_size(disk, problems);
        // Two stores in one folder would have each other's files.
        let same = |other: &&&At<String>| beside(other) == beside(&disk.path);
        match seen.iter().find(same) {
            Some(other) => {
                let place = disk.path.place.clone();
                let problem = Problem::new(place, "another cache has this folder");
                problems.push(problem.related(other.place.clone(), "this one"));
            }
            None if runs => problems.extend(cannot_be_had(store, &disk.path)),
            None => {}
        }
        seen.push(&disk.path);
    }
}

fn check_size(disk: &model::Disk, problems: &mut Vec<Problem>) {
    let (least, found) = (Size::mib(Disk::LEAST_SIZE >> 20), disk.size.value);
    if found < least {
        let message = format!("expected at least {least}, found {found}");
        problems.push(Problem::new(disk.size.place.clone(), message));
    }
}

/// Why a store that is to be opened will not have its folder.
fn cannot_be_had(store: &NamedStore, path: &At<String>) -> Option<Problem> {
    let why = store.lacks_folder()?;
    let help = "let the user that the gateway runs as make it, and read and write what is in it";
    Some(Problem::new(path.place.clone(), why).help(help))
}
