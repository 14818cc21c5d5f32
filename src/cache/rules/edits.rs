//! What becomes of the head of a response that is stored (RFC 9111, 3.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;
use wiregate_sdk::cache::{Policy, SetCookie};

use super::fields::{Field, Fields};
use crate::cache::Draft;

/// What sets the head that is served apart from the one that has come (3.1), but for whom it has come through.
pub(super) struct Edits {
    /// Fields that are not stored.
    without: SmallVec<[HeaderName; 2]>,
    /// The `Date` that it gets, where its own is none, or not in the preferred form (RFC 9110, 6.6.1).
    date: Option<HeaderValue>,
}

impl Edits {
    pub(super) fn of(policy: &Policy, fields: &Fields<'_>, date: Option<HeaderValue>) -> Self {
        let strips = policy.set_cookie == SetCookie::Strip;
        let goes = |field| match field {
            Field::Age | Field::Hop => true,
            Field::Date => date.is_some(),
            Field::SetCookie => strips,
            _ => false,
        };
        let mut without = SmallVec::new();
        for name in fields.names(goes) {
            without.push(name.clone());
        }
        if let Some(tags) = &policy.tags {
            without.push(tags.clone());
        }
        Self { without, date }
    }

    /// The fields as they are to be served.
    pub(super) fn draft<'h>(
        &'h self,
        fields: &'h HeaderMap,
        via: Option<&'h HeaderValue>,
    ) -> Draft<'h> {
        let mut draft = Draft::default();
        for (name, value) in fields {
            if !self.without.contains(name) {
                draft.add(name, value);
            }
        }
        if let Some(date) = &self.date {
            draft.add(&header::DATE, date);
        }
        if let Some(via) = via {
            draft.add(&header::VIA, via);
        }
        draft
    }

    /// Makes the same of the fields of that head themselves.
    pub(super) fn make(&self, fields: &mut HeaderMap, via: HeaderValue) {
        for name in &self.without {
            fields.remove(name);
        }
        if let Some(date) = &self.date {
            fields.insert(header::DATE, date.clone());
        }
        fields.append(header::VIA, via);
    }
}
