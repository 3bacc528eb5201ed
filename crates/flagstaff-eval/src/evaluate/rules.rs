//! Clauses, alone and joined by AND.

use super::{Chain, Malformed, Walk};
use crate::context::{AttributeValue, ContextRead};
use crate::prepared::{Clause, Test};

impl<C: ContextRead + ?Sized> Walk<'_, '_, C> {
    /// Whether all clauses match; none at all match everything. `segments` are those being matched.
    pub(super) fn all_match(
        &mut self,
        clauses: &[Clause],
        segments: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        for clause in clauses {
            if !self.clause_matches(clause, segments)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn clause_matches(&mut self, clause: &Clause, segments: Option<&Chain<'_>>) -> Result<bool, Malformed> {
        match clause {
            Clause::Malformed => Err(Malformed),
            Clause::Attribute { kind, reference, test, negate } => {
                Ok(match self.context.attribute(kind, reference) {
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
