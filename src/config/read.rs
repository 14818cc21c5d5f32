//! Reads a configuration: its file, the files that it includes, and what it refers to.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use wiregate_sdk::build::Files;
use wiregate_sdk::value::{MAX_BYTES, Node, Place, Problem, Value, read};

use super::include::{self, Include};
use super::merge::merge;
use super::reference::{self, Environment};
use super::report;

/// How deep files may include each other.
const MAX_DEPTH: usize = 32;

/// Where a configuration came from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The text of each file by its name, the main file first; for showing lines of it.
    pub texts: IndexMap<Arc<str>, String>,
    /// What has to be watched to notice a change: files (those of secrets too), and the
    /// directories that an `include` with `*` is about. Not all of them need exist.
    pub watch: Files,
}

impl Sources {
    /// Puts stars into the texts, at places where something is written that is not to be shown.
    pub fn mask(&mut self, places: &HashSet<Place>) {
        let mut lines: HashMap<(&str, u32), Vec<&Place>> = HashMap::new();
        for place in places {
            let line = lines.entry((&place.file, place.line));
            line.or_default().push(place);
        }
        for (file, text) in &mut self.texts {
            if !places.iter().any(|place| place.file == *file) {
                continue;
            }
            let numbered = text.split_inclusive('\n').zip(1..);
            let masked = numbered.map(|(line, number)| match lines.get(&(&**file, number)) {
                Some(places) => report::masked(line, places),
                None => Cow::Borrowed(line),
            });
            *text = masked.collect();
        }
    }
}

/// A configuration as far as it could be read.
#[derive(Debug)]
pub struct Read {
    /// Where it came from, complete as far as could be read, also where the configuration is
    /// refused: a report shows lines of it, and a change may repair it.
    pub sources: Sources,
    /// What it says; absent where a file could not be read. A reference that could not be resolved
    /// stands there as it was written.
    pub value: Option<Value>,
    /// Everything that is wrong so far.
    pub problems: Vec<Problem>,
}

/// Reads the configuration at a path: follows `include`, merges the files to one map, and
/// resolves references.
pub fn read_all(path: &Path, environment: &Environment) -> Read {
    let mut reader = Reader::default();
    let name: Arc<str> = path.display().to_string().into();
    let place = whole(&name);
    reader.file(path, name, place.clone());
    let mut files = reader.files.into_iter();
    let mut problems = reader.problems;
    let main = files.next().unwrap_or(Value {
        place: place.clone(),
        node: Node::Null,
    });
    if problems.is_empty() && main.node == Node::Null {
        problems.push(Problem::new(place, "the configuration is empty"));
    }
    let mut value = merge(main, files, &mut problems);
    let complete = problems.is_empty();
    let secrets = reference::resolve(&mut value, environment, &mut problems);
    reader.sources.watch.extend(secrets);
    Read {
        sources: reader.sources,
        value: complete.then_some(value),
        problems,
    }
}

#[derive(Default)]
struct Reader {
    sources: Sources,
    /// What each file holds, in the order of inclusion, without its `include`.
    files: Vec<Value>,
    problems: Vec<Problem>,
    /// The files that are being read, each with where it is included.
    open: Vec<Opened>,
    /// The files that have been read.
    seen: Vec<Opened>,
}

#[derive(Clone)]
struct Opened {
    path: PathBuf,
    name: Arc<str>,
    place: Place,
}

impl Reader {
    /// Reads one file and those that it includes. Problems with the file as such are told at
    /// `place`, where it is asked for.
    fn file(&mut self, path: &Path, name: Arc<str>, place: Place) {
        self.sources.watch.note(path);
        let opened = Opened {
            // What cannot be resolved cannot be read either; reading says why.
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            name: name.clone(),
            place: place.clone(),
        };
        if let Some(problem) = self.repeated(&opened) {
            self.problems.push(problem);
            return;
        }
        let bytes = match read_regular(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(why) => {
                let message = format!("cannot read `{name}`: {why}");
                self.problems.push(Problem::new(place, message));
                return;
            }
        };
        self.seen.push(opened.clone());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(not_text(&name, error.as_bytes()));
                return;
            }
        };
        let read = read(&name, &text);
        self.sources.texts.insert(name, text);
        match read {
            Ok(value) => {
                self.open.push(opened);
                self.content(value, path);
                self.open.pop();
            }
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// Keeps what a file holds, and reads what it includes.
    fn content(&mut self, mut value: Value, path: &Path) {
        let includes = match &mut value.node {
            Node::Null => Vec::new(),
            Node::Map(entries) => {
                let at = entries.iter().position(|(key, _)| key.name == "include");
                let value = at.map(|at| entries.remove(at).1);
                value.map_or_else(Vec::new, |value| include::parse(value, &mut self.problems))
            }
            Node::Scalar(_) | Node::List(_) => {
                let message = "expected a map of `listeners`, `routes` and the like at the top";
                let problem = Problem::new(value.place.clone(), message);
                self.problems.push(problem);
                return;
            }
        };
        self.files.push(value);
        for include in includes {
            self.include(&include, path);
        }
    }

    fn include(&mut self, include: &Include, from: &Path) {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("expected at most {MAX_DEPTH} levels of files, found more");
            self.problems
                .push(Problem::new(include.place.clone(), message));
            return;
        }
        let parent = from.parent().unwrap_or(Path::new(""));
        match include.files(parent, from, &mut self.sources.watch) {
            Ok(files) => {
                for file in files {
                    let name = file.display().to_string().into();
                    self.file(&file, name, include.place.clone());
                }
            }
            Err(message) => {
                let problem = Problem::new(include.place.clone(), message);
                self.problems.push(problem);
            }
        }
    }

    /// The problem with a file that includes itself, or is included twice.
    fn repeated(&self, file: &Opened) -> Option<Problem> {
        if let Some(at) = self.open.iter().position(|open| open.path == file.path) {
            let mut circle: Vec<_> = self.open[at..].iter().map(|open| &*open.name).collect();
            circle.push(&file.name);
            let message = format!("files include each other: {}", circle.join(" -> "));
            return Some(Problem::new(file.place.clone(), message));
        }
        let first = self.seen.iter().find(|seen| seen.path == file.path)?;
        let message = format!("the file `{}` is included twice", file.name);
        let problem = Problem::new(file.place.clone(), message);
        Some(problem.related(first.place.clone(), "first here"))
    }
}

/// Reads a file of at most so many bytes. Anything but a regular file is refused, as a pipe might
/// block for ever.
///
/// # Errors
/// Why not, in words.
pub fn read_regular(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| words(&error))?;
    if metadata.is_dir() {
        return Err("expected a file, found a directory".into());
    }
    if !metadata.is_file() {
        return Err("expected a regular file, found a device or a pipe".into());
    }
    let mut bytes = Vec::new();
    let bound = limit as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(|error| words(&error))?;
    if bytes.len() > limit {
        let limit = if limit >= 1 << 20 {
            format!("{} MiB", limit >> 20)
        } else {
            format!("{} KiB", limit >> 10)
        };
        return Err(format!("expected at most {limit}, found more"));
    }
    Ok(bytes)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => {
            let text = error.to_string().to_lowercase();
            let plain = text.split(" (os error").next().unwrap_or(&text);
            plain.to_owned()
        }
    }
}

/// The problem with bytes that are no UTF-8.
fn not_text(name: &Arc<str>, bytes: &[u8]) -> Problem {
    if matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) {
        return Problem::new(whole(name), "expected UTF-8, found UTF-16");
    }
    let good = match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    let before = String::from_utf8_lossy(&bytes[..good]);
    let (lines, last) = before.rsplit_once('\n').unwrap_or(("", &before));
    let breaks = usize::from(before.contains('\n')) + lines.matches('\n').count();
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let place = Place {
        file: name.clone(),
        line: clamp(breaks + 1),
        column: clamp(last.chars().count() + 1),
        width: 1,
    };
    let message = format!("expected UTF-8, found the byte 0x{:02X}", bytes[good]);
    Problem::new(place, message)
}

/// A file as a whole.
fn whole(name: &Arc<str>) -> Place {
    Place {
        file: name.clone(),
        line: 0,
        column: 0,
        width: 1,
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
