//! Which value a context gets, and why: the steps in their order.
//!
//! Source of every step: the flag protocol's evaluation rules.

mod bucketing;
pub mod explain;
mod prerequisites;
mod rules;
mod segment;
mod targets;

pub use bucketing::bucket;

use crate::big_segments::BigSegments;
use crate::context::ContextRead;
use crate::data_set::DataSet;
use crate::detail::{Detail, ErrorKind, Reason, ReasonKind};
use crate::prepared::{PreparedFlag, Serve};
use rules::ReadAttributes;
use segment::BigSegmentAnswers;

/// How deep prerequisites, and segments in segments, may be nested. Deeper is malformed: no honest
/// flag comes near, and a hostile one must not exhaust the stack.
pub const MAX_DEPTH: usize = 200;

/// How many prerequisites, and segments in segments, one evaluation may look at. More is malformed:
/// a hostile chain in which each asks for the next one twice would double the work at each link.
pub const MAX_VISITS: u32 = 10_000;

/// A prerequisite that was evaluated on the way, for its event.
#[derive(Clone, Debug)]
pub struct PrerequisiteResult<'a> {
    /// The prerequisite.
    pub flag: &'a PreparedFlag,
    /// The flag that asked for it.
    pub prerequisite_of: &'a PreparedFlag,
    /// What it served, and why.
    pub detail: Detail<'a>,
}

/// Decides which variation of `flag` the context gets, and why.
///
/// Never fails: a malformed flag yields no value and an `ERROR` reason, and the caller falls back to
/// its default. `on_prerequisite` hears of each prerequisite on the way, innermost first, for its
/// event. Big segments are matched by their rules only: there is no store to ask.
#[inline]
pub fn evaluate<'a, C: ContextRead + ?Sized>(
    data: &'a DataSet,
    flag: &'a PreparedFlag,
    context: &C,
    on_prerequisite: &mut dyn FnMut(PrerequisiteResult<'a>),
) -> Detail<'a> {
    evaluate_with_big_segments(data, None, flag, context, on_prerequisite)
}

/// As [`evaluate`](fn@evaluate), with a store that is asked for memberships in big segments.
#[inline]
pub fn evaluate_with_big_segments<'a, C: ContextRead + ?Sized>(
    data: &'a DataSet,
    big_segments: Option<&dyn BigSegments>,
    flag: &'a PreparedFlag,
    context: &C,
    on_prerequisite: &mut dyn FnMut(PrerequisiteResult<'a>),
) -> Detail<'a> {
    // Most flags have nothing that needs the walk's memory.
    if !flag.on {
        return flag.off(ReasonKind::Off);
    }
    let big_segments = BigSegmentAnswers::new(big_segments);
    let mut walk = Walk { data, context, big_segments, on_prerequisite, visits_left: MAX_VISITS };
    let mut detail = match walk.flag(flag, Chain::first(flag.key())) {
        Ok(detail) => detail,
        Err(Malformed) => Detail::error(ErrorKind::MalformedFlag),
    };
    detail.reason.big_segments_status = walk.big_segments.status();
    detail
}

/// What one evaluation looks at and remembers.
struct Walk<'a, 'w, C: ?Sized> {
    data: &'a DataSet,
    context: &'w C,
    big_segments: BigSegmentAnswers<'w>,
    on_prerequisite: &'w mut dyn FnMut(PrerequisiteResult<'a>),
    visits_left: u32,
}

/// Aborts the whole evaluation, also from inside a prerequisite: a cycle, too much to look at, or a
/// clause that cannot be read.
struct Malformed;

/// The items being evaluated, from the innermost outwards.
#[derive(Clone, Copy)]
struct Chain<'k> {
    key: &'k str,
    depth: usize,
    outer: Option<&'k Chain<'k>>,
}

impl<'k> Chain<'k> {
    fn first(key: &'k str) -> Self {
        Self { key, depth: 1, outer: None }
    }

    /// The chain with `key` inside; malformed if it is there already, or the chain is too long.
    fn inside(&'k self, key: &'k str) -> Result<Self, Malformed> {
        let mut links = std::iter::successors(Some(self), |link| link.outer);
        if self.depth == MAX_DEPTH || links.any(|link| link.key == key) {
            return Err(Malformed);
        }
        Ok(Self { key, depth: self.depth + 1, outer: Some(self) })
    }
}

impl<'a, C: ContextRead + ?Sized> Walk<'a, '_, C> {
    /// Takes one more prerequisite, or segment in a segment, into account.
    fn visit(&mut self) -> Result<(), Malformed> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or(Malformed)?;
        Ok(())
    }

    /// The steps in order; `Malformed` aborts the whole evaluation.
    fn flag(&mut self, flag: &'a PreparedFlag, chain: Chain<'_>) -> Result<Detail<'a>, Malformed> {
        if !flag.on {
            return Ok(flag.off(ReasonKind::Off));
        }
        if !flag.prerequisites.is_empty()
            && let Some(reason) = self.failed_prerequisite(flag, &chain)?
        {
            return Ok(flag.off(reason));
        }
        if let Some(variation) = self.individual_target(flag) {
            return Ok(flag.serve_variation(variation, ReasonKind::TargetMatch.into()));
        }
        if !flag.rules.is_empty()
            && let Some(detail) = self.matching_rule(flag)?
        {
            return Ok(detail);
        }
        Ok(self.serve(flag, &flag.fallthrough, ReasonKind::Fallthrough))
    }

    fn matching_rule(&mut self, flag: &'a PreparedFlag) -> Result<Option<Detail<'a>>, Malformed> {
        let mut attributes = ReadAttributes::new();
        for (index, rule) in flag.rules.iter().enumerate() {
            if self.all_match(&rule.clauses, &mut attributes, None)? {
                let reason = ReasonKind::RuleMatch { index, id: (&*rule.id).into() };
                return Ok(Some(self.serve(flag, &rule.serve, reason)));
            }
        }
        Ok(None)
    }

    fn serve(&self, flag: &'a PreparedFlag, serve: &'a Serve, reason: ReasonKind<'a>) -> Detail<'a> {
        match serve {
            Serve::Variation(variation) => flag.serve_variation(*variation, reason.into()),
            Serve::Rollout(rollout) => match bucketing::choose(rollout, self.context) {
                Some((variation, in_experiment)) => {
                    flag.serve_variation(variation, Reason { in_experiment, ..reason.into() })
                }
                None => Detail::error(ErrorKind::MalformedFlag),
            },
            Serve::Nothing => Detail::error(ErrorKind::MalformedFlag),
        }
    }
}

impl PreparedFlag {
    fn off<'a>(&'a self, reason: ReasonKind<'a>) -> Detail<'a> {
        match self.off_variation {
            Some(variation) => self.serve_variation(variation, reason.into()),
            None => Detail { value: None, variation_index: None, reason: reason.into() },
        }
    }

    #[inline]
    fn serve_variation<'a>(&'a self, variation: u32, reason: Reason<'a>) -> Detail<'a> {
        let index = variation as usize;
        match self.variations.get(index) {
            Some(value) => Detail { value: Some(value), variation_index: Some(index), reason },
            None => Detail::error(ErrorKind::MalformedFlag),
        }
    }
}
