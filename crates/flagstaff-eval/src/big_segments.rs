//! Segments too large to stream: membership is asked of a store outside.

use std::sync::Arc;

use foldhash::HashMap;

use crate::detail::BigSegmentsStatus;

/// Answers whether a context is in a big segment. The evaluator asks once per context key.
pub trait BigSegments {
    /// What the store knows of the context with this key, whatever its kind. `None` stands for an
    /// empty membership; so does a failed query, whose status then is `StoreError`.
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus);
}

/// One context's big segments: reference (`vip.g3`) to whether it is in (true) or kept out (false).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    references: HashMap<Box<str>, bool>,
}

impl Membership {
    /// Collects the two lists a store holds; in both means in.
    pub fn new<'a>(
        included: impl IntoIterator<Item = &'a str>,
        excluded: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let excluded = excluded.into_iter().map(|reference| (reference.into(), false));
        let included = included.into_iter().map(|reference| (reference.into(), true));
        Self { references: excluded.chain(included).collect() }
    }

    /// Whether the context is in the segment, if the store says.
    pub fn get(&self, reference: &str) -> Option<bool> {
        self.references.get(reference).copied()
    }

    /// Every reference with what the store says of it, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.references.iter().map(|(reference, is_in)| (&**reference, *is_in))
    }
}
