//! The files that a configuration came from, and whether they have changed since.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wiregate_sdk::build::Files;

/// How many symbolic links are followed on the way to a file.
const MOST_LINKS: u32 = 8;

/// The files, and the folders in which more of them may appear, as they were when they were read.
#[derive(Clone)]
pub(super) struct Watched(Files);

impl Watched {
    /// These, as they were when they were read.
    pub(super) fn new(files: Files) -> Self {
        Self(files)
    }

    /// The files are about to be read: what changes from now on is news.
    pub(super) fn reading(&mut self) {
        self.0 = self.0.now();
    }

    /// These, and no others, are what was read.
    pub(super) fn have(&mut self, files: &Files) {
        self.0 = files.clone();
    }

    /// These were read, and matter as well: the next version may be in them.
    pub(super) fn also(&mut self, files: &Files) {
        let before = std::mem::replace(&mut self.0, files.clone());
        self.0.extend(before);
    }

    /// How the files are now, if that is not how they were.
    pub(super) fn changed(&self) -> Option<Files> {
        Some(self.0.now()).filter(|now| *now != self.0)
    }

    /// The folders in which a change shows, whether they exist or not. Files are not watched themselves: editors and configuration maps put another one in their
    /// place.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in self.0.paths() {
            add_folders(path, &mut folders, MOST_LINKS);
        }
        folders
    }
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

    fn files(all: &[&Path]) -> Files {
        let mut files = Files::default();
        all.iter().for_each(|path| files.note(*path));
        files
    }

    #[test]
    fn other_files_beside_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let watched = Watched::new(files(&[&file]));
        fs::write(folder.path().join("access.log"), "2").unwrap();
        assert_eq!(watched.changed(), None);
        fs::write(&file, "22").unwrap();
        assert!(watched.changed().is_some());
    }

    #[test]
    fn a_change_while_the_files_are_read_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let other = folder.path().join("b.yaml");
        fs::write(&file, "1").unwrap();
        let mut watched = Watched::new(files(&[&file]));
        watched.reading();
        let read = files(&[&file, &other]);
        fs::write(&file, "22").unwrap();
        watched.have(&read);
        assert!(watched.changed().is_some());
        let read = files(&[&file, &other]);
        fs::write(&other, "1").unwrap();
        watched.have(&read);
        assert!(watched.changed().is_some());
        watched.have(&files(&[&file, &other]));
        assert_eq!(watched.changed(), None);
    }

    #[test]
    fn a_change_before_files_that_are_refused_were_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&secret, "1").unwrap();
        let mut watched = Watched::new(files(&[&file, &secret]));
        fs::write(&file, "1").unwrap();
        fs::write(&secret, "22").unwrap();
        watched.reading();
        watched.also(&files(&[&file])); // it was not good enough to be followed to the secret
        assert_eq!(watched.changed(), None);
        fs::write(&secret, "333").unwrap();
        assert!(watched.changed().is_some());
    }

    #[test]
    fn a_file_that_appears_disappears_or_is_replaced_by_one_of_its_size_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("a"), folder.path().join("b"));
        let other = folder.path().join("c");
        fs::write(&file, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let watched = || Watched::new(files(&[&file, &missing]));
        let before = watched();
        fs::rename(&other, &file).unwrap();
        assert!(before.changed().is_some());
        let before = watched();
        fs::write(&missing, "").unwrap();
        assert!(before.changed().is_some());
        let before = watched();
        fs::remove_file(&missing).unwrap();
        assert!(before.changed().is_some());
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
        let watched = Watched::new(files(&[&base.join("two/w.yaml")]));
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
        let watched = Watched::new(files(&[&a]));
        assert!(watched.folders().contains(folder.path()));
    }
}
