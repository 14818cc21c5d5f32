//! Being told when files in some folders change (`inotify(7)`).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// After which of these a file may be another one: it was written and closed, has other
/// permissions, or appeared, moved or went, or its folder did. Not each write, which would wake the
/// gateway for every line of a log that lies beside the configuration.
const NEWS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF);

/// The folders that are watched.
pub(super) struct Folders {
    inotify: AsyncFd<OwnedFd>,
}

impl Folders {
    /// None yet.
    ///
    /// # Errors
    /// The system has no more instances of inotify (`fs.inotify.max_user_instances`).
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: an `OwnedFd` is the same descriptor for as long as it lives, and nobody else has it.
        #[allow(unsafe_code)]
        let inotify = unsafe { AsyncFd::register(inotify)? };
        Ok(Self { inotify })
    }

    /// Watches these as well; for one that is watched already nothing changes. One that is not there, or was
    /// replaced, is tried again with the next call.
    pub(super) fn watch(&self, folders: &BTreeSet<PathBuf>) {
        for folder in folders {
            // It may not be there yet: then its own folder has news when it is.
            let added = inotify::add_watch(self.inotify.get_ref(), folder, NEWS);
            if added.err() == Some(rustix::io::Errno::NOSPC) {
                let folder = folder.display();
                tracing::warn!(%folder, "it cannot be watched: `fs.inotify.max_user_watches` is used up");
            }
        }
    }

    /// Waits until something has changed.
    ///
    /// # Errors
    /// It can no longer be waited for.
    pub(super) async fn news(&self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            if self.take()? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Whether something has changed since the last call. What it was does not matter.
    fn take(&self) -> io::Result<bool> {
        let mut events = [0; 4096];
        let mut some = false;
        loop {
            match rustix::io::read(self.inotify.get_ref(), &mut events) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(some),
                Ok(_) => some = true,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_file_is_news_when_it_is_closed_and_not_with_every_write() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let folders = Folders::new().unwrap();
        folders.watch(&BTreeSet::from([folder.path().to_owned()]));
        let news = || folders.take().unwrap();
        assert!(!news());

        let mut open = File::create(&file).unwrap();
        assert!(news(), "it appeared");
        for _ in 0..100 {
            open.write_all(b"a line\n").unwrap();
        }
        assert!(!news(), "a line of a log is none");
        drop(open);
        assert!(news(), "it was closed");
        fs::read(&file).unwrap();
        assert!(!news(), "it was read");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(news(), "it may be read by others now");
        fs::rename(&file, &other).unwrap();
        assert!(news(), "it has another name");
        fs::remove_file(&other).unwrap();
        assert!(news(), "it is gone");
        fs::remove_dir(folder.path()).unwrap();
        assert!(news(), "so is the folder");
        assert!(!news());
    }

    #[tokio::test]
    async fn a_folder_that_was_made_anew_is_watched_although_it_looks_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("conf.d");
        let folders = Folders::new().unwrap();
        for _ in 0..2 {
            fs::create_dir(&inner).unwrap();
            // The system may give the new one the number of the old one.
            folders.watch(&BTreeSet::from([inner.clone()]));
            fs::write(inner.join("a"), "1").unwrap();
            assert!(folders.take().unwrap());
            fs::remove_dir_all(&inner).unwrap();
            assert!(folders.take().unwrap());
        }
    }

    #[tokio::test]
    async fn waiting_ends_with_the_news() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new().unwrap();
        folders.watch(&BTreeSet::from([folder.path().to_owned()]));
        let path = folder.path().join("a");
        let (waited, wrote) = tokio::join!(folders.news(), async { fs::write(path, "1") });
        waited.unwrap();
        wrote.unwrap();
    }
}
