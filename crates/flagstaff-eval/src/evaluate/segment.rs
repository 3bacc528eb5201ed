//! Named sets of contexts, and those too large to stream.

use std::sync::Arc;

use smallvec::SmallVec;

use super::bucketing::place;
use super::rules::ReadAttributes;
use super::{Chain, Malformed, Walk};
use crate::big_segments::{BigSegments, Membership};
use crate::context::ContextRead;
use crate::detail::BigSegmentsStatus;
use crate::prepared::{BigSegment, PreparedSegment, SegmentKeys, SegmentRule};

impl<'w, C: ContextRead + ?Sized> Walk<'_, 'w, C> {
    /// Whether the context is in any of these segments. One that does not exist has nobody in it.
    pub(super) fn in_any_segment(
        &mut self,
        keys: &[Box<str>],
        chain: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        for key in keys {
            let Some(segment) = self.data.segment(key) else { continue };
            let chain = match chain {
                Some(chain) => {
                    self.visit()?;
                    chain.inside(segment.key())?
                }
                None => Chain::first(segment.key()),
            };
            if self.in_segment(segment, &chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn in_segment(&mut self, segment: &PreparedSegment, chain: &Chain<'_>) -> Result<bool, Malformed> {
        if let Some(big) = &segment.big {
            match self.in_big_segment(big) {
                BigAnswer::Decided(inside) => return Ok(inside),
                BigAnswer::AskRules => {}
            }
        } else {
            if self.listed(&segment.included) {
                return Ok(true);
            }
            if self.listed(&segment.excluded) {
                return Ok(false);
            }
        }
        let mut attributes = ReadAttributes::new();
        for rule in &segment.rules {
            if self.segment_rule_matches(rule, &mut attributes, chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[inline]
    fn listed(&self, lists: &[SegmentKeys]) -> bool {
        lists.iter().any(|list| self.context.key(&list.kind).is_some_and(|key| list.keys.contains(key)))
    }

    fn segment_rule_matches(
        &mut self,
        rule: &SegmentRule,
        attributes: &mut ReadAttributes<'w>,
        chain: &Chain<'_>,
    ) -> Result<bool, Malformed> {
        if !self.all_match(&rule.clauses, attributes, Some(chain))? {
            return Ok(false);
        }
        let Some(share) = &rule.share else {
            return Ok(true);
        };
        if share.bucketing.attribute.as_ref().is_some_and(|reference| !reference.is_valid()) {
            return Err(Malformed);
        }
        // Without a member of that kind there is nothing to place, and no match.
        Ok(place(&share.bucketing, self.context).is_some_and(|bucket| bucket < share.end))
    }

    fn in_big_segment(&mut self, big: &BigSegment) -> BigAnswer {
        let Some(reference) = &big.reference else {
            self.big_segments.worsen(BigSegmentsStatus::NotConfigured);
            return BigAnswer::Decided(false);
        };
        let Some(key) = self.context.key(&big.kind) else {
            return BigAnswer::Decided(false);
        };
        let membership = self.big_segments.membership(key);
        match membership.and_then(|membership| membership.get(reference)) {
            Some(inside) => BigAnswer::Decided(inside),
            None => BigAnswer::AskRules,
        }
    }
}

enum BigAnswer {
    Decided(bool),
    AskRules,
}

/// What the store outside has answered during one evaluation: it is asked once per context key.
pub(super) struct BigSegmentAnswers<'w> {
    store: Option<&'w dyn BigSegments>,
    answers: SmallVec<[Answer; 1]>,
    status: Option<BigSegmentsStatus>,
}

struct Answer {
    context_key: Box<str>,
    membership: Option<Arc<Membership>>,
}

impl<'w> BigSegmentAnswers<'w> {
    #[inline]
    pub(super) fn new(store: Option<&'w dyn BigSegments>) -> Self {
        Self { store, answers: SmallVec::new(), status: None }
    }

    /// The worst status of all answers; none if nothing was asked.
    #[inline]
    pub(super) fn status(&self) -> Option<BigSegmentsStatus> {
        self.status
    }

    fn worsen(&mut self, status: BigSegmentsStatus) {
        self.status = self.status.max(Some(status));
    }

    fn membership(&mut self, context_key: &str) -> Option<&Membership> {
        let known = self.answers.iter().position(|answer| &*answer.context_key == context_key);
        let index = match known {
            Some(index) => index,
            None => {
                let (membership, status) = match self.store {
                    Some(store) => store.membership(context_key),
                    None => (None, BigSegmentsStatus::NotConfigured),
                };
                self.worsen(status);
                self.answers.push(Answer { context_key: context_key.into(), membership });
                self.answers.len() - 1
            }
        };
        self.answers[index].membership.as_deref()
    }
}
