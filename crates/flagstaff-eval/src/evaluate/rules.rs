//! Clauses, alone and joined by AND.

use super::{Chain, Malformed, Walk};
use crate::context::{AttributeValue, ContextRead};
use crate::prepared::{Attribute, Clause, Test};

/// The attributes that the clauses of one flag or segment have read so far: each is read once.
/// The first few are kept; most flags look at fewer.
pub(super) struct ReadAttributes<'w> {
    values: [Option<AttributeValue<'w>>; 6],
}

impl<'w> ReadAttributes<'w> {
    #[inline]
    pub(super) fn new() -> Self {
        Self { values: [None; 6] }
    }

    #[inline]
    fn value<C: ContextRead + ?Sized>(
        &mut self,
        context: &'w C,
        attribute: &Attribute,
    ) -> AttributeValue<'w> {
        let slot = usize::from(attribute.slot);
        if let Some(Some(kept)) = self.values.get(slot) {
            return *kept;
        }
        let value = context.attribute(&attribute.kind, &attribute.reference);
        if let Some(place) = self.values.get_mut(slot) {
            *place = Some(value);
        }
        value
    }
}

impl<'w, C: ContextRead + ?Sized> Walk<'_, 'w, C> {
    /// Whether all clauses match; none at all match everything. `segments` are those being matched.
    #[inline]
    pub(super) fn all_match(
        &mut self,
        clauses: &[Clause],
        attributes: &mut ReadAttributes<'w>,
        segments: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        for clause in clauses {
            if !self.clause_matches(clause, attributes, segments)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn clause_matches(
        &mut self,
        clause: &Clause,
        attributes: &mut ReadAttributes<'w>,
        segments: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        match clause {
            Clause::Malformed => Err(Malformed),
            Clause::Attribute { attribute, test, negate } => {
                Ok(match attributes.value(self.context, attribute) {
                    // Also when negated: nothing is said of what is not there.
                    AttributeValue::Missing => false,
                    AttributeValue::List(list) => list.any(&mut |element| test.passes(element)) != *negate,
                    value => test.passes(value) != *negate,
                })
            }
            Clause::Kind { test, negate } => Ok(self.any_kind_passes(test) != *negate),
            Clause::Segments { keys, negate } => Ok(self.in_any_segment(keys, segments)? != *negate),
        }
    }

    fn any_kind_passes(&self, test: &Test) -> bool {
        self.context.any_kind(&mut |kind| test.passes(AttributeValue::String(kind)))
    }
}
