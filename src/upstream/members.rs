//! The endpoints that an upstream has at one moment, and whose turn it is among them.

use std::sync::Arc;

use super::{Endpoint, Rotation};

/// The endpoints of one moment. Another one takes its place when endpoints come or go, or when
/// their health changes.
pub struct Members {
    /// The endpoints, in the order of the configuration.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    rotation: Rotation,
}

impl Members {
    /// These endpoints, with the health that they have now.
    pub fn new(endpoints: Arc<[Arc<Endpoint>]>) -> Self {
        Self {
            rotation: Rotation::of_healthy(&endpoints),
            endpoints,
        }
    }

    /// Whether the endpoints' health is still what the turns were worked out from.
    pub fn is_current(&self) -> bool {
        self.rotation.is_current(&self.endpoints)
    }

    /// The endpoint whose turn it is: a healthy one that was not `tried`, or one that was when
    /// there is no other. `None` when no endpoint is healthy.
    pub fn next(&self, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        let was_tried = |position: usize| {
            let endpoint = &self.endpoints[position];
            tried.iter().any(|other| other.address == endpoint.address)
        };
        let position = self.rotation.next(tried.is_empty(), was_tried)?;
        Some(&self.endpoints[position])
    }
}
