//! While another process is about to take over, the configuration stays as it is.

use wiregate_sdk::value::{Place, Problem};

use super::{Refused, Reloader};
use crate::config::Sources;

impl Reloader {
    /// Lets nobody reload; waits for a reload that is under way. Blocks.
    pub fn hold(&self) -> Held<'_> {
        let _one_at_a_time = self.one_at_a_time();
        self.held.send_replace(true);
        Held(self)
    }

    pub(super) fn held_back(&self) -> Refused {
        let place = Place {
            file: self.path.to_string_lossy().into(),
            line: 1,
            column: 1,
            width: 1,
        };
        let message = "another process is about to take over, by the configuration as it found it";
        let help = "try again when it has, or has not";
        Refused {
            sources: Sources::default(),
            problems: vec![Problem::new(place, message).help(help)],
        }
    }
}

/// While it is there, nobody reloads.
#[must_use]
pub struct Held<'a>(&'a Reloader);

impl Held<'_> {
    /// Nobody reloads any more.
    pub fn for_good(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}
