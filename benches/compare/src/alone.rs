//! A contender on its own.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::command::Result;
use crate::contender::{Contender, Stage};
use crate::origin::Origin;
use crate::process::{Pinning, Process};
use crate::scenario::Scenario;

/// A contender that runs, on a processor of its own where there are several.
pub struct Alone {
    pub process: Process,
    pub address: SocketAddr,
    /// The processors of all others; any where there is but one.
    pub others: Option<String>,
    _origin: Origin,
    folder: TempDir,
}

impl Alone {
    /// Starts it in front of an origin, with the programs of a folder.
    ///
    /// # Errors
    /// A program that is missing or does not come up, with what it printed.
    pub fn start(contender: Contender, scenario: Scenario, binaries: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let stage = Stage {
            binaries,
            folder: folder.path(),
            memory: folder.path(),
        };
        let (proxy, others) = Pinning::detect()
            .map(|pinning| (pinning.proxy, pinning.others))
            .unzip();
        let origin = Origin::start(scenario, &stage, others.as_deref(), None)?;
        let (process, address) =
            contender.start(scenario, origin.address, &stage, proxy.as_deref())?;
        Ok(Self {
            process,
            address,
            others,
            _origin: origin,
            folder,
        })
    }

    /// Where its files are, and those of its load may be.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
