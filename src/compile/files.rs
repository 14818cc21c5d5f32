//! The files that a configuration names.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use wiregate_sdk::build;
use wiregate_sdk::value::{At, Problem};

use crate::config::read_regular;

/// Files that were read, or looked for in vain.
pub type Files = RefCell<build::Files>;

/// The largest file of certificates or a key that is read, in bytes: the authorities of a whole
/// system fit.
const LARGEST: usize = 4 << 20;

/// A path, relative to the file that it is written in.
pub(super) fn beside(path: &At<String>) -> PathBuf {
    let folder = Path::new(&*path.place.file).parent();
    folder.unwrap_or(Path::new("")).join(&path.value)
}

/// Reads what a path of certificates or a key leads to. A change of it, or that it appears,
/// matters from now on.
pub(super) fn read(path: &At<String>, files: &Files) -> Result<Vec<u8>, Problem> {
    let at = beside(path);
    files.borrow_mut().note(&at);
    read_regular(&at, LARGEST).map_err(|why| {
        let message = format!("cannot read `{}`: {why}", path.value);
        Problem::new(path.place.clone(), message)
    })
}
