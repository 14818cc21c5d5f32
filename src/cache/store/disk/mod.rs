//! The disk behind the memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::body::Broken;
use super::key::Name;
use super::options::Disk;
use super::{Entry, Mode, Store, What};

/// Whether an entry is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// No.
    None,
    /// It waits to be written.
    Queued,
    /// It is.
    At(At),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At;

#[derive(Debug)]
pub(super) struct Stretch;

impl Stretch {
    pub(super) fn length(&self) -> u64 {
        0
    }
    pub(super) async fn read(&self, _: u64, _: u64) -> Result<VecDeque<Bytes>, Broken> {
        Err(Broken)
    }
}

#[derive(Debug)]
pub(super) struct Engine;

impl Engine {
    pub(super) fn open(_: &Disk) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self))
    }
    pub(super) fn seed(&self) -> u64 {
        0
    }
    pub(super) fn purging(&self, _: &What, _: Mode) {}
    pub(super) fn purge(&self, _: &What, _: Mode) {}
    pub(super) fn superseding(&self, _: &Name, _: u64) {}
    pub(super) fn void(&self, _: &Name, _: u64) {}
    pub(super) fn store(&self, _: &Store, _: &Arc<Entry>, _: u64) {}
    pub(super) async fn settled(&self) -> io::Result<()> {
        Ok(())
    }
    pub(super) fn bytes(&self) -> u64 {
        0
    }
    pub(super) fn close(&self) {}
}

pub(super) fn start(_: &Arc<Store>) -> io::Result<()> {
    Ok(())
}
