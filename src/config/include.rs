//! `include`: the files that a file asks for.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use wiregate_sdk::build::Files;
use wiregate_sdk::value::{Node, Place, Problem, Value};

/// One entry of `include`: a path relative to the file that holds it. `*` in the file name stands
/// for any text.
pub(super) struct Include {
    pattern: String,
    pub(super) place: Place,
}

/// Takes the value of `include` apart: a pattern, or a list of them.
pub(super) fn parse(value: Value, problems: &mut Vec<Problem>) -> Vec<Include> {
    let items = match value.node {
        Node::List(items) => items,
        _ => vec![value],
    };
    let mut includes = Vec::new();
    for item in items {
        match item.node {
            Node::Scalar(scalar) if !scalar.text.is_empty() => includes.push(Include {
                pattern: scalar.text,
                place: item.place,
            }),
            _ => problems.push(Problem::new(
                item.place,
                "expected a file such as `conf.d/*.yaml`, or a list of them",
            )),
        }
    }
    includes
}

impl Include {
    /// The files, in the order of their names. A pattern with `*` may stand for none; it never
    /// stands for a hidden file, nor for the file that it is written in. The folder in which more of
    /// them may appear is noted.
    pub(super) fn files(
        &self,
        parent: &Path,
        from: &Path,
        watch: &mut Files,
    ) -> Result<Vec<PathBuf>, String> {
        if self.pattern.contains("${") {
            return Err("a reference is not possible in `include`".into());
        }
        let path = parent.join(&self.pattern);
        if !self.pattern.contains('*') {
            return Ok(vec![path]);
        }
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().and_then(|name| name.to_str());
        let (false, Some(name)) = (directory.to_string_lossy().contains('*'), name) else {
            return Err("`*` is only possible in the name of the file".into());
        };
        let listed = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &directory
        };
        watch.note(listed);
        let mut files = Vec::new();
        let own = from.canonicalize().ok();
        for found in list(listed)? {
            if !matches(name, &found.to_string_lossy()) {
                continue;
            }
            let path = directory.join(&found);
            if found.to_str().is_none() {
                return Err(format!("the name of `{}` is not UTF-8", path.display()));
            }
            if own.is_none() || path.canonicalize().ok() != own {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The names in a directory; none where it does not exist.
fn list(directory: &Path) -> Result<Vec<OsString>, String> {
    let failed = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string().to_lowercase(),
        };
        format!("cannot list `{}`: {why}", directory.display())
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    entries
        .map(|entry| Ok(entry.map_err(failed)?.file_name()))
        .collect()
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("*.yaml", ".a.yaml", false),
            (".*.yaml", ".a.yaml", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("*", "x", true),
            ("a.yaml", "a.yaml", true),
            ("a.yaml", "a.yamlx", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
