//! The program that this process was started from: where the next version will be.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::systemd::OF_ONE_PROCESS;

/// Says to a process that its standard input is the line to the one whose place it takes.
pub(super) const MARK: &str = "WIREGATE_TAKES_OVER";

/// The program that this process was started from, and how.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of this process, by the path that it was started with: links are not followed, so
    /// that they may point to another version. To be called before that happens.
    ///
    /// # Errors
    /// The system's.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let running = env::current_exe()?;
        let called = arguments.next().and_then(|name| find(Path::new(&name)));
        // Whoever starts a process can call it anything.
        let path = called.filter(|path| same_file(path, &running));
        Ok(Self {
            path: path.unwrap_or(running),
            arguments: arguments.collect(),
        })
    }

    /// Whether it runs an echo server beside the gateway, whose address would be taken.
    pub(super) fn has_echo(&self) -> bool {
        let is_echo = |argument: &OsString| {
            let argument = argument.to_string_lossy();
            argument == "--echo" || argument.starts_with("--echo=")
        };
        self.arguments.iter().any(is_echo)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same command, for a process with this standard input that takes the place of this one.
    pub(super) fn again(&self, line: Stdio) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env(MARK, "1").stdin(line);
        for name in OF_ONE_PROCESS {
            command.env_remove(name);
        }
        command
    }
}

/// Where a program of this name is, as the system has looked for it.
fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return std::path::absolute(name).ok();
    }
    let paths = env::var_os("PATH")?;
    let mut places = env::split_paths(&paths).map(|folder| folder.join(name));
    places.find(|path| path.is_file())
}

fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_system_finds_it_and_known_behind_links() {
        assert_eq!(find(Path::new("/bin/sh")), Some("/bin/sh".into()));
        let here = env::current_dir().unwrap();
        assert_eq!(find(Path::new("./a/b")), Some(here.join("a/b")));
        let shell = find(Path::new("sh")).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"));
        assert_eq!(find(Path::new("no-such-program")), None);
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&shell, &link).unwrap();
        assert!(same_file(&link, &shell));
        assert!(!same_file(&link, &env::current_exe().unwrap()));
        assert!(!same_file(&folder.path().join("gone"), &shell));
    }
}
