//! A file of endpoints, which is read again when it changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wiregate_sdk::value::{At, Place, Problem, ShortOrFull, decode, read};

use super::{Listed, MOST_ENDPOINTS, MOST_WEIGHT, Rank};
use crate::config::model::upstream::FileEndpoint;
use crate::config::read_regular;
use crate::upstream::Reach;

/// The size of a file of endpoints, at most: 500 of them need far less.
const MOST_BYTES: usize = 1 << 20;

/// A file of endpoints, and what was last found in it that is good.
pub struct EndpointFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    listed: Arc<[Listed]>,
    /// The version that was read last, good or bad.
    read: Option<Stamp>,
    /// The version at the last look: what is still being written is left alone.
    seen: Option<Stamp>,
}

/// What tells one version of a file from another: device, inode, length, time of the last change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

impl EndpointFile {
    /// Reads a file for the first time.
    ///
    /// # Errors
    /// Everything that is wrong with it. Problems with the file as such are told at `place`, where
    /// it is asked for.
    pub fn open(path: PathBuf, place: &Place, reach: &Reach) -> Result<Self, Vec<Problem>> {
        let stamp = stamp(&path);
        let listed = list(&path, place, reach)?;
        let state = State {
            listed: listed.into(),
            read: stamp,
            seen: stamp,
        };
        Ok(Self {
            path,
            state: Mutex::new(state),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The endpoints that are in it, or were when it was last good.
    pub fn listed(&self) -> Arc<[Listed]> {
        self.state().listed.clone()
    }

    /// Reads it again where it has changed and was left in peace since the last look. Blocks.
    ///
    /// # Errors
    /// Everything that is wrong with it; what was in it stays.
    pub fn look(&self, reach: &Reach) -> Option<Result<(), Vec<Problem>>> {
        let now = stamp(&self.path);
        {
            let mut state = self.state();
            let settled = state.seen == now;
            state.seen = now;
            if !settled || state.read == now {
                return None;
            }
            state.read = now;
        }
        let place = whole(&self.path);
        let outcome = list(&self.path, &place, reach);
        Some(outcome.map(|listed| self.state().listed = listed.into()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp(
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.ctime(),
        meta.ctime_nsec(),
    ))
}

fn whole(path: &Path) -> Place {
    Place {
        file: path.display().to_string().into(),
        line: 0,
        column: 0,
        width: 1,
    }
}

/// What a file lists.
fn list(path: &Path, place: &Place, reach: &Reach) -> Result<Vec<Listed>, Vec<Problem>> {
    let name: Arc<str> = path.display().to_string().into();
    let cannot = |why: String| {
        let message = format!("cannot read the endpoints in `{name}`: {why}");
        vec![Problem::new(place.clone(), message)]
    };
    let bytes = read_regular(path, MOST_BYTES).map_err(cannot)?;
    let not_text = |_| cannot("expected UTF-8, found other bytes".to_owned());
    let text = String::from_utf8(bytes).map_err(not_text)?;
    parse(&name, &text, reach)
}

fn parse(name: &Arc<str>, text: &str, reach: &Reach) -> Result<Vec<Listed>, Vec<Problem>> {
    let entries: Vec<At<FileEndpoint>> = decode(&read(name, text)?)?;
    let mut problems = Vec::new();
    let mut listed: Vec<Listed> = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut say = |message: String| problems.push(Problem::new(entry.place.clone(), message));
        let one = match entry.value {
            ShortOrFull::Short(target) => Listed {
                target,
                weight: 1,
                rank: Rank::default(),
            },
            ShortOrFull::Full(full) => Listed {
                target: full.address,
                weight: full.weight.get(),
                rank: Rank {
                    priority: full.priority,
                    zone: full.zone.map(|zone| zone.value.into()),
                },
            },
        };
        if let Err(message) = one.check(reach) {
            say(message);
        }
        if listed.iter().any(|other| other.target == one.target) {
            say(format!("endpoint `{}` is there twice", one.target));
        }
        listed.push(one);
    }
    let count = listed.len();
    if !(1..=MOST_ENDPOINTS).contains(&count) {
        let message = format!("expected a list of 1 to {MOST_ENDPOINTS} endpoints, found {count}");
        problems.push(Problem::new(whole(Path::new(&**name)), message));
    }
    if problems.is_empty() {
        Ok(listed)
    } else {
        Err(problems)
    }
}

impl Listed {
    /// Whether it may be listed.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, reach: &Reach) -> Result<(), String> {
        let Self { target, weight, .. } = self;
        if *weight > MOST_WEIGHT {
            return Err(format!(
                "expected a weight from 1 to {MOST_WEIGHT}, found {weight}"
            ));
        }
        let accepted = reach.accepts(target);
        accepted.map_err(|why| format!("endpoint `{target}` cannot be used: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::upstream::Upstream;

    fn reach() -> Reach {
        let value = read(&"test.yaml".into(), "endpoints: []\n").unwrap();
        let config: Upstream = decode(&value).unwrap();
        Reach::new("app", &config, None)
    }

    #[test]
    fn lists_addresses_names_and_weights() {
        let text = "- 10.0.0.1:80\n- { address: \"app:80\", weight: 3 }\n- unix:/run/app.sock\n";
        let listed = parse(&"list.yaml".into(), text, &reach()).unwrap();
        let shown: Vec<_> = listed.iter().map(|one| one.target.to_string()).collect();
        assert_eq!(shown, ["10.0.0.1:80", "app:80", "unix:/run/app.sock"]);
        assert_eq!(listed.iter().map(|one| one.weight).sum::<u32>(), 5);
    }

    #[test]
    fn says_where_a_list_is_wrong() {
        for (text, place, hint) in [
            (
                "- 10.0.0.1:80\n- 10.0.0.1\n",
                "list.yaml:2",
                "expected an address",
            ),
            ("- 10.0.0.1:80\n- 10.0.0.1:80\n", "list.yaml:2", "twice"),
            (
                "- { address: \"a:80\", weight: 101 }\n",
                "list.yaml:1",
                "from 1 to 100",
            ),
            ("[]", "list.yaml:0", "1 to 500 endpoints, found 0"),
        ] {
            let problems = parse(&"list.yaml".into(), text, &reach()).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert_eq!(problems[0].place.to_string(), place, "{text}");
            assert!(problems[0].message.contains(hint), "{problems:?}");
        }
        assert!(parse(&"list.yaml".into(), "", &reach()).is_err());
    }

    #[test]
    fn a_file_that_becomes_bad_keeps_what_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.yaml");
        std::fs::write(&path, "- 10.0.0.1:80\n").unwrap();
        let file = EndpointFile::open(path.clone(), &whole(&path), &reach())
            .ok()
            .unwrap();
        assert!(file.look(&reach()).is_none());
        std::fs::write(&path, "- nothing\n").unwrap();
        assert!(file.look(&reach()).is_none(), "it may still be written");
        assert!(matches!(file.look(&reach()), Some(Err(_))));
        assert!(file.look(&reach()).is_none(), "it is told once");
        assert_eq!(file.listed().len(), 1);
        std::fs::write(&path, "- 10.0.0.1:80\n- 10.0.0.2:80\n").unwrap();
        assert!(file.look(&reach()).is_none());
        assert!(matches!(file.look(&reach()), Some(Ok(()))));
        assert_eq!(file.listed().len(), 2);
    }
}
