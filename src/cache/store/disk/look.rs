//! Whether a folder could be a store's. Nothing is made, and nobody who has the folder notices.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::super::options::Disk;
use super::{at, segment};

impl Disk {
    /// Looks whether this process could have the folder, were it not another one's.
    ///
    /// # Errors
    /// It, or what is in it, cannot be made, read or written.
    pub fn look(&self) -> io::Result<()> {
        for path in self.path.ancestors() {
            // A relative path begins where the process is.
            let path = match path.as_os_str().is_empty() {
                true => Path::new("."),
                false => path,
            };
            match fs::metadata(path) {
                Ok(there) if !there.is_dir() => {
                    return Err(at(path, &io::ErrorKind::NotADirectory.into()));
                }
                Ok(_) if path == self.path => return look_into(path),
                Ok(_) => return may(path, Access::WRITE_OK | Access::EXEC_OK),
                // Not even a link to nothing: it can be made where the one above is.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
                Err(error) => return Err(at(path, &error)),
            }
        }
        Ok(())
    }
}

/// A folder that is there, and what a former process has left in it.
fn look_into(folder: &Path) -> io::Result<()> {
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    may(folder, all)?;
    may(&folder.join("lock"), Access::WRITE_OK)?;
    let segments = segment::list(folder).map_err(|error| at(folder, &error))?;
    let mut segments = segments.into_iter();
    segments.try_for_each(|id| may(&segment::path(folder, id), Access::READ_OK))
}

/// Whether the system says no. What it cannot say, and what is not there, is left to the opening.
fn may(path: &Path, access: Access) -> io::Result<()> {
    match accessat(CWD, path, access, AtFlags::EACCESS) {
        Err(error @ (Errno::ACCESS | Errno::ROFS)) => Err(at(path, &error.into())),
        _ => Ok(()),
    }
}
