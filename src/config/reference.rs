//! References: `${env:NAME}`, `${file:/path}` and `${cred:name}`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use wiregate_sdk::build::Files;
use wiregate_sdk::value::{Node, Piece, Place, Problem, Scalar, Value, did_you_mean, pieces};

use super::read::read_regular;

/// How long what a file holds may be, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// How many problems are told at most.
const MAX_PROBLEMS: usize = 100;
const SCHEMES: [&str; 3] = ["env", "file", "cred"];

/// What references may ask about.
pub struct Environment {
    lookup: Box<Lookup>,
    credentials: Option<PathBuf>,
}

/// The value of a variable.
type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Environment {
    /// Variables by `lookup`, credentials in a directory.
    pub fn new(
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
        credentials: Option<PathBuf>,
    ) -> Self {
        Self {
            lookup: Box::new(lookup),
            credentials,
        }
    }

    /// The environment of this process, with systemd's `$CREDENTIALS_DIRECTORY`.
    pub fn of_process() -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::new(|name| std::env::var_os(name), credentials)
    }
}

/// Resolves the references in every scalar of a tree. An empty value is a problem too: it is
/// never what a secret should be. Gives the files that references name, readable or not.
pub fn resolve(value: &mut Value, environment: &Environment, problems: &mut Vec<Problem>) -> Files {
    let mut resolver = Resolver {
        environment,
        known: HashMap::new(),
        told: HashMap::new(),
        files: Files::default(),
        problems,
    };
    resolver.value(value);
    resolver.files
}

struct Resolver<'a> {
    environment: &'a Environment,
    /// What each reference resolved to, so that all that are the same agree.
    known: HashMap<String, Result<String, Refusal>>,
    /// Which problem tells of a reference that cannot be resolved.
    told: HashMap<String, usize>,
    files: Files,
    problems: &'a mut Vec<Problem>,
}

/// Why a reference cannot be resolved, and what helps.
#[derive(Clone)]
struct Refusal(String, Option<String>);

/// A reference that cannot be resolved.
struct Unresolved {
    whole: String,
    why: Refusal,
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self(message, None)
    }
}

impl Resolver<'_> {
    fn value(&mut self, value: &mut Value) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        match &mut value.node {
            Node::Null => {}
            Node::List(items) => items.iter_mut().for_each(|item| self.value(item)),
            Node::Map(entries) => entries.iter_mut().for_each(|(_, value)| self.value(value)),
            Node::Scalar(scalar) => {
                if let Err(unresolved) = self.scalar(scalar) {
                    self.tell(unresolved, &value.place);
                }
            }
        }
    }

    /// Tells of a reference at a place; once, however many places have it.
    fn tell(&mut self, Unresolved { whole, why }: Unresolved, place: &Place) {
        if let Some(told) = self.told.get(&whole) {
            self.problems[*told].repeat(place.clone());
            return;
        }
        let Refusal(message, help) = why;
        self.told.insert(whole, self.problems.len());
        let problem = Problem::new(place.clone(), message);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    fn scalar(&mut self, scalar: &mut Scalar) -> Result<(), Unresolved> {
        if scalar.written.is_some() || !scalar.text.contains("${") {
            return Ok(());
        }
        let (mut text, mut resolved) = (String::new(), Vec::new());
        for piece in pieces(&scalar.text) {
            match piece {
                Piece::Literal(part) | Piece::Expression(part) | Piece::Unclosed(part) => {
                    text.push_str(part);
                }
                Piece::Escape => text.push('$'),
                Piece::Reference {
                    whole,
                    scheme,
                    name,
                } => {
                    let value = self.reference(whole, scheme, name);
                    let value = value.map_err(|why| Unresolved {
                        whole: whole.to_owned(),
                        why,
                    })?;
                    text.push_str(&value);
                    resolved.push(value);
                }
            }
        }
        if !resolved.is_empty() {
            let written = std::mem::replace(&mut scalar.text, text);
            scalar.written = Some(written);
            scalar.resolved = resolved;
        }
        Ok(())
    }

    fn reference(&mut self, whole: &str, scheme: &str, name: &str) -> Result<String, Refusal> {
        if let Some(known) = self.known.get(whole) {
            return known.clone();
        }
        let value = match scheme {
            "env" => self.variable(whole, name),
            "file" => self.file(whole, name),
            "cred" => self.credential(whole, name),
            _ => Err(unknown(whole, scheme)),
        };
        let value = value.and_then(|value| {
            if value.is_empty() {
                return Err(format!("`{whole}` is empty").into());
            }
            Ok(value)
        });
        self.known.insert(whole.to_owned(), value.clone());
        value
    }

    fn variable(&self, whole: &str, name: &str) -> Result<String, Refusal> {
        let value = (self.environment.lookup)(name);
        let value = value.ok_or_else(|| format!("`{whole}`: the variable `{name}` is not set"))?;
        let not_text = |_| format!("`{whole}`: expected UTF-8, found other bytes");
        Ok(value.into_string().map_err(not_text)?)
    }

    fn file(&mut self, whole: &str, name: &str) -> Result<String, Refusal> {
        let path = Path::new(name);
        if !path.is_absolute() {
            return Err(format!("`{whole}`: expected an absolute path, found `{name}`").into());
        }
        self.read(whole, path)
    }

    fn credential(&mut self, whole: &str, name: &str) -> Result<String, Refusal> {
        let mut parts = Path::new(name).components();
        let (Some(Component::Normal(part)), None) = (parts.next(), parts.next()) else {
            return Err(format!("`{whole}`: expected the name of a credential").into());
        };
        let Some(directory) = &self.environment.credentials else {
            let help = format!("`LoadCredential={name}:…` in the unit of systemd provides it");
            let message = format!("`{whole}`: there is no credentials directory");
            return Err(Refusal(message, Some(help)));
        };
        let path = directory.join(part);
        let meant = (!path.exists()).then(|| meant(directory, name)).flatten();
        let read = self.read(whole, &path);
        read.map_err(|Refusal(message, help)| Refusal(message, meant.or(help)))
    }

    /// What a file holds, without the line break at its end.
    fn read(&mut self, whole: &str, path: &Path) -> Result<String, Refusal> {
        self.files.note(path);
        let bytes =
            read_regular(path, MAX_BYTES).map_err(|why| format!("cannot read `{whole}`: {why}"))?;
        let mut text = String::from_utf8(bytes)
            .map_err(|_| format!("`{whole}`: expected UTF-8, found other bytes"))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

/// Which of the credentials that there are may have been meant. A `LoadCredential=` of a folder puts its own
/// word before the names of the files.
fn meant(directory: &Path, name: &str) -> Option<String> {
    let there = std::fs::read_dir(directory).ok()?;
    let there: Vec<_> = there
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let end = format!("_{name}");
    let longer = there.iter().find(|known| known.ends_with(&end));
    let near = || did_you_mean(name, there.iter().map(String::as_str));
    let meant = longer.map(String::as_str).or_else(near)?;
    Some(format!("did you mean `${{cred:{meant}}}`?"))
}

fn unknown(whole: &str, scheme: &str) -> Refusal {
    let message = format!("`{whole}`: unknown reference `{scheme}:`");
    let help = match did_you_mean(scheme, SCHEMES) {
        Some(meant) => format!("did you mean `{meant}:`?"),
        None => "references begin with `env:`, `file:` or `cred:`".to_owned(),
    };
    Refusal(message, Some(help))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
