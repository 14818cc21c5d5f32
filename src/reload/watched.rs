//! The files that a configuration came from, and whether they have changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many symbolic links are followed on the way to a file.
const MOST_LINKS: u32 = 8;

/// The files, and the folders in which more of them may appear, as they were when they were read.
pub(super) struct Watched {
    paths: BTreeSet<PathBuf>,
    seen: State,
}

/// How some paths are at one time.
pub(super) type State = BTreeMap<PathBuf, Option<Stamp>>;

/// What tells one version of a file or of a folder from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Device, inode, length, and the time of the last change of anything about it.
    File(u64, u64, u64, (i64, i64)),
    /// The names in it.
    Folder(BTreeSet<std::ffi::OsString>),
}

impl Watched {
    /// These files, just read.
    pub(super) fn new(paths: &BTreeSet<PathBuf>) -> Self {
        Self {
            paths: paths.clone(),
            seen: state(paths),
        }
    }

    /// The files are about to be read: what changes from now on is news.
    pub(super) fn reading(&mut self) {
        self.seen = state(&self.paths);
    }

    /// These, and no others, are what was read.
    pub(super) fn have(&mut self, paths: &BTreeSet<PathBuf>) {
        self.paths.clone_from(paths);
        self.seen.retain(|path, _| paths.contains(path));
        self.look_at_new();
    }

    /// These matter as well: the next version may be in them.
    pub(super) fn also(&mut self, paths: &BTreeSet<PathBuf>) {
        self.paths.extend(paths.iter().cloned());
        self.look_at_new();
    }

    fn look_at_new(&mut self) {
        for path in &self.paths {
            let seen = self.seen.entry(path.clone());
            seen.or_insert_with(|| stamp(path));
        }
    }

    /// How the files are now, if that is not how they were.
    pub(super) fn changed(&self) -> Option<State> {
        Some(state(&self.paths)).filter(|now| *now != self.seen)
    }

    /// The folders in which a change shows, whether they exist or not. Files are not watched themselves: editors and configuration maps put another one in their
    /// place.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in &self.paths {
            add_folders(path, &mut folders, MOST_LINKS);
        }
        folders
    }
}

fn state(paths: &BTreeSet<PathBuf>) -> State {
    let each = paths.iter();
    each.map(|path| (path.clone(), stamp(path))).collect()
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

/// Adds the folders of a path, and of every symbolic link on the way to it.
fn add_folders(path: &Path, folders: &mut BTreeSet<PathBuf>, links: u32) {
    if path.is_dir() {
        folders.insert(path.to_owned());
    }
    folders.insert(folder_of(path).to_owned());
    if links == 0 {
        return;
    }
    for part in path.ancestors() {
        let Ok(target) = fs::read_link(part) else {
            continue;
        };
        folders.insert(folder_of(part).to_owned());
        let target = folder_of(part).join(target);
        let rest = path.strip_prefix(part).expect("an ancestor");
        let next: PathBuf = target.components().chain(rest.components()).collect();
        add_folders(&next, folders, links - 1);
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(all: &[&Path]) -> BTreeSet<PathBuf> {
        all.iter().map(|path| path.to_path_buf()).collect()
    }

    #[test]
    fn other_files_beside_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let watched = Watched::new(&paths(&[&file]));
        fs::write(folder.path().join("access.log"), "2").unwrap();
        assert_eq!(watched.changed(), None);
        fs::write(&file, "22").unwrap();
        assert!(watched.changed().is_some());
    }

    #[test]
    fn a_change_while_the_files_are_read_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let all = paths(&[&file]);
        let mut watched = Watched::new(&all);
        watched.reading();
        fs::write(&file, "22").unwrap();
        watched.have(&all);
        assert!(watched.changed().is_some());
        watched.reading();
        watched.have(&all);
        assert_eq!(watched.changed(), None);
    }

    #[test]
    fn a_file_that_appears_disappears_or_is_replaced_by_one_of_its_size_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("a"), folder.path().join("b"));
        let other = folder.path().join("c");
        fs::write(&file, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let all = paths(&[&file, &missing]);
        let watched = Watched::new(&all);
        fs::rename(&other, &file).unwrap();
        assert!(watched.changed().is_some());
        let watched = Watched::new(&all);
        fs::write(&missing, "").unwrap();
        assert!(watched.changed().is_some());
        let watched = Watched::new(&all);
        fs::remove_file(&missing).unwrap();
        assert!(watched.changed().is_some());
    }

    #[test]
    fn folders_of_links_on_the_way_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("one/v1")).unwrap();
        fs::create_dir_all(base.join("two")).unwrap();
        fs::write(base.join("one/v1/w.yaml"), "").unwrap();
        symlink("v1", base.join("one/current")).unwrap();
        symlink("../one/current/w.yaml", base.join("two/w.yaml")).unwrap();
        let watched = Watched::new(&paths(&[&base.join("two/w.yaml")]));
        let folders = watched.folders();
        let folders: BTreeSet<_> = folders
            .iter()
            .filter_map(|f| f.canonicalize().ok())
            .collect();
        for expected in ["two", "one", "one/v1"] {
            assert!(
                folders.contains(&base.join(expected)),
                "{expected} in {folders:?}"
            );
        }
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        let watched = Watched::new(&paths(&[&a]));
        assert!(watched.folders().contains(folder.path()));
    }
}
