//! Finds the certificate for a name: exact names first, then those that begin with `*.`.

use std::borrow::Cow;
use std::collections::HashMap;

/// Positions by name.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, usize>,
    /// What follows `*.`.
    wildcard: HashMap<Box<str>, usize>,
}

impl Names {
    /// Adds a name in lower case; gives the position that has it already.
    ///
    /// # Errors
    /// That position.
    pub fn add(&mut self, name: &str, position: usize) -> Result<(), usize> {
        let (names, name) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, name),
        };
        let taken = *names.entry(name.into()).or_insert(position);
        if taken == position {
            Ok(())
        } else {
            Err(taken)
        }
    }

    /// The position for the name that a client asks for. A `*` stands for one label (RFC 9525,
    /// 6.3).
    pub fn find(&self, name: &str) -> Option<usize> {
        let name = lower(name.strip_suffix('.').unwrap_or(name));
        let exact = self.exact.get(&*name);
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        exact.or_else(wildcard).copied()
    }
}

/// Whether a name of a certificate covers a name.
pub(crate) fn covers(certificate: &str, name: &str) -> bool {
    let wildcard = || {
        let (_, rest) = name.split_once('.')?;
        Some(certificate.strip_prefix("*.")?.eq_ignore_ascii_case(rest))
    };
    certificate.eq_ignore_ascii_case(name) || wildcard().unwrap_or(false)
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_name_comes_before_the_wildcard_which_is_one_label() {
        let mut names = Names::default();
        for (position, name) in ["a.example", "*.example", "*.a.example"].iter().enumerate() {
            names.add(name, position).unwrap();
        }
        assert_eq!(names.add("*.example", 1), Ok(()));
        assert_eq!(names.add("*.example", 3), Err(1));
        for (name, position) in [
            ("a.example", Some(0)),
            ("A.Example.", Some(0)),
            ("b.example", Some(1)),
            ("b.a.example", Some(2)),
            ("c.b.a.example", None),
            ("example", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(names.find(name), position, "{name}");
        }
    }

    #[test]
    fn a_certificate_covers_its_name_or_one_label() {
        assert!(covers("a.example", "A.example"));
        assert!(covers("*.example", "a.example"));
        assert!(covers("*.example", "*.example"));
        assert!(!covers("*.example", "example"));
        assert!(!covers("*.example", "b.a.example"));
        assert!(!covers("a.example", "*.example"));
        assert!(!covers("a.example", "b.example"));
    }
}
