//! Files that are read for a configuration, and whether they have changed since.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, and folders in which more of them may appear, each as it was right before it was read. Not all of
/// them need exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Stamp>>);

/// What tells one version of a file or of a folder from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    /// Device, inode, length, and the time of the last change of anything about it.
    File(u64, u64, u64, (i64, i64)),
    /// The names in it.
    Folder(BTreeSet<OsString>),
}

impl Files {
    /// This one is about to be read: whatever becomes of it from now on is a change. Where it was read
    /// before, what it was then counts.
    pub fn note(&mut self, path: impl Into<PathBuf>) {
        if let Entry::Vacant(new) = self.0.entry(path.into()) {
            let stamp = stamp(new.key());
            new.insert(stamp);
        }
    }

    /// Adds those of others that are not among these.
    pub fn extend(&mut self, others: Self) {
        for (path, stamp) in others.0 {
            self.0.entry(path).or_insert(stamp);
        }
    }

    /// The same as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let each = self.paths();
        Self(each.map(|path| (path.to_owned(), stamp(path))).collect())
    }

    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether this one is among them.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    if meta.is_dir() {
        let names = fs::read_dir(path).ok()?;
        let names = names.filter_map(|entry| Some(entry.ok()?.file_name()));
        return Some(Stamp::Folder(names.collect()));
    }
    let changed = (meta.ctime(), meta.ctime_nsec());
    Some(Stamp::File(meta.dev(), meta.ino(), meta.len(), changed))
}
