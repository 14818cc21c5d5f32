//! Numbers and texts as bytes, little end first, texts behind their lengths.

use std::time::{Duration, SystemTime};

pub(super) struct Writing<'b>(pub(super) &'b mut Vec<u8>);

impl Writing<'_> {
    pub(super) fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn u32(&mut self, number: usize) {
        let number = u32::try_from(number).expect("a head is smaller than that");
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn duration(&mut self, duration: Duration) {
        self.0.extend_from_slice(&duration.as_secs().to_le_bytes());
        self.0
            .extend_from_slice(&duration.subsec_nanos().to_le_bytes());
    }

    /// A time before 1970 is written as 1970.
    pub(super) fn time(&mut self, time: SystemTime) {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        self.duration(since.unwrap_or_default());
    }
}

pub(super) struct Reading<'b>(pub(super) &'b [u8]);

impl<'b> Reading<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(super) fn duration(&mut self) -> Option<Duration> {
        let secs = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        let nanos = self.u32()?;
        (nanos < 1_000_000_000).then(|| Duration::new(secs, nanos))
    }

    pub(super) fn time(&mut self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(self.duration()?)
    }
}
