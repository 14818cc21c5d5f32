//! From a file to a configuration that could run.

use std::path::Path;
use std::sync::Arc;

use wiregate_sdk::build::Packed;
use wiregate_sdk::value::{Noted, Value};
use wiregate_sdk::{Clock, Registry};

use super::Refused;
use crate::compile::{self, Snapshot};
use crate::config::{Environment, Sources, read_all};
use crate::observe::access_log::{AccessLog, Plan};
use crate::observe::metrics::Metrics;

/// A configuration that is good.
pub struct Loaded {
    /// What it says, ready to run.
    pub snapshot: Snapshot,
    /// The texts, and the files to watch.
    pub sources: Sources,
    /// What was read, with its places.
    pub value: Value,
}

/// What a configuration goes on from.
#[derive(Clone, Copy)]
pub enum From<'a> {
    /// Nothing.
    Nothing,
    /// Nothing, and it is not to run here: what is wrong with folders that it would open is no problem of its own.
    Paper,
    /// The running one.
    Running(&'a Snapshot),
    /// What another process has packed.
    Packed(&'a Packed),
}

/// Reads and compiles a configuration: what `check`, the start and each reload do.
///
/// # Errors
/// Every problem, with the texts that they are in.
pub fn load(
    path: &Path,
    registry: &Registry,
    metrics: &Arc<Metrics>,
    from: From<'_>,
) -> Result<Loaded, Refused> {
    let read = read_all(path, &Environment::of_process());
    let (mut sources, problems) = (read.sources, read.problems);
    let Some(value) = read.value else {
        return Err(Refused { sources, problems });
    };
    let (files, hidden) = (compile::Files::default(), Noted::begin());
    let cx = compile::Context {
        registry,
        metrics,
        clock: &Clock::default(),
        old: match from {
            From::Running(old) => Some(old),
            _ => None,
        },
        packed: match from {
            From::Packed(packed) => packed,
            _ => &Packed::new(),
        },
        runs: !matches!(from, From::Paper),
        files: &files,
        hidden: &hidden,
    };
    let compiled = compile::compile(&value, problems, &cx);
    sources.watch.extend(files.take());
    sources.mask(&hidden.places());
    match compiled {
        Ok(snapshot) => Ok(Loaded {
            snapshot,
            sources,
            value,
        }),
        Err(problems) => Err(Refused { sources, problems }),
    }
}

/// Opens the access log that a configuration asks for.
///
/// # Errors
/// The system's.
pub fn open_log(plan: Option<&Arc<Plan>>) -> std::io::Result<Option<AccessLog>> {
    plan.cloned().map(AccessLog::open).transpose()
}
