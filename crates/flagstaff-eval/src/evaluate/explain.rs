//! The steps of an evaluation, told: what was looked at, what the context had there, and what decided.
//!
//! A walk of its own beside the evaluator's, for people, so it may take its time. It walks the same prepared
//! forms and asks the same tests, bucket by bucket; tests hold its answers against the evaluator's. Big
//! segments are answered by their rules only: there is no store to ask.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::bucketing::{choose, place};
use super::{Chain, MAX_VISITS, Malformed};
use crate::context::{AttributeRef, AttributeValue, Context, ContextRead};
use crate::data_set::DataSet;
use crate::detail::{BigSegmentsStatus, Detail, ErrorKind, Reason, ReasonKind};
use crate::model::{self, FlagData};
use crate::prepared::{Bucketing, Clause, PreparedFlag, PreparedSegment, Rollout, SegmentKeys, Serve};

/// Explains evaluations of the flags of one environment.
#[derive(Debug)]
pub struct Explainer {
    data: DataSet,
    flags: HashMap<String, model::Flag>,
    segments: HashMap<String, model::Segment>,
}

/// What a context gets, and each step on the way there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The flag.
    pub flag: String,
    /// The value; none means the caller's default.
    pub value: Option<Value>,
    /// Which of the flag's variations it is, from 0.
    pub variation: Option<usize>,
    /// Why.
    pub reason: Reason<'static>,
    /// What was looked at, in order; the last one decided.
    pub steps: Vec<Step>,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Step {
    /// Targeting is off: the off variation.
    Off,
    /// A flag that must serve a given variation first.
    Prerequisite {
        /// Its key.
        key: String,
        /// The variation it must serve.
        wanted: i64,
        /// Whether it does, and is on.
        met: bool,
        /// How it was evaluated; none if there is no such flag.
        explanation: Option<Box<Explanation>>,
    },
    /// The lists of keys that get a variation by name.
    Targets {
        /// How many keys there are.
        keys: usize,
        /// The kind and key that stand in one of them.
        found: Option<Listed>,
    },
    /// A rule.
    Rule {
        /// Its place, from 0.
        index: usize,
        /// Its id; empty if it has none.
        id: String,
        /// Its clauses. Those behind one that does not match are not looked at.
        clauses: Vec<ClauseSeen>,
        /// Whether all match.
        matched: bool,
        /// Where in its rollout the context falls, if it matched and has one.
        share: Option<Share>,
    },
    /// Nothing matched.
    Fallthrough {
        /// Where in the rollout the context falls, if there is one.
        share: Option<Share>,
    },
    /// The evaluation ends without a value.
    Malformed {
        /// What is wrong with the flag.
        problem: String,
    },
}

/// A key that stands in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The kind.
    pub kind: String,
    /// The key.
    pub key: String,
    /// The variation it gets, in a list of targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<u32>,
}

/// A clause, and what the context has where it looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClauseSeen {
    /// The clause.
    pub clause: model::Clause,
    /// What the context has there; none if nothing.
    pub found: Option<Value>,
    /// The segments it speaks of, as far as they were looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentSeen>,
    /// Whether it matches; none if it was not looked at, or cannot be read.
    pub matched: Option<bool>,
}

/// A segment, and whether the context is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentSeen {
    /// Its key.
    pub key: String,
    /// Whether the context is in it.
    pub inside: bool,
    /// Why.
    #[serde(flatten)]
    pub why: WhySegment,
}

/// Why a context is in a segment, or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum WhySegment {
    /// There is no such segment.
    Unknown,
    /// The key is included.
    Included(Listed),
    /// The key is excluded.
    Excluded(Listed),
    /// The last of these rules matches, or none of them.
    Rules {
        /// Those that were looked at.
        rules: Vec<SegmentRuleSeen>,
        /// Whether its keys are in a store outside, which was not asked.
        big: bool,
    },
}

/// A rule of a segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentRuleSeen {
    /// Its place, from 0.
    pub index: usize,
    /// Its clauses.
    pub clauses: Vec<ClauseSeen>,
    /// Where the context is placed, if its clauses match and it takes in a share only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Whether it matches.
    pub matched: bool,
}

/// Where a context falls in a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The kind that is placed.
    pub kind: String,
    /// The attribute that is hashed.
    pub attribute: String,
    /// What it is hashed with: the seed, or the flag's key and salt.
    pub hashed_with: String,
    /// Its place, from 0.0 to 1.0; none if the context has no member of that kind, and counts as 0.
    pub bucket: Option<f32>,
    /// Where the share that it falls in begins.
    pub from: f32,
    /// Where that share ends.
    pub to: f32,
    /// The variation of that share; none in a rule of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<u32>,
    /// Whether the context takes part in an experiment.
    pub in_experiment: bool,
}

impl Explainer {
    /// Explains evaluations of these flags. Of two items with one key the later counts.
    pub fn new(data: FlagData) -> Self {
        let flags = data.flags.iter().cloned().collect();
        let segments = data.segments.iter().cloned().collect();
        Self { data: DataSet::from_model(data), flags, segments }
    }

    /// The flags, made ready.
    pub fn data(&self) -> &DataSet {
        &self.data
    }

    /// What the context gets of a flag, and why; none if there is no such flag.
    pub fn explain(&self, key: &str, context: &Context) -> Option<Explanation> {
        let flag = self.data.flag(key)?;
        let mut walk = Walk { all: self, context, visits_left: MAX_VISITS, big_segments: false };
        let mut steps = Vec::new();
        let mut detail = match walk.flag(flag, Chain::first(flag.key()), &mut steps) {
            Ok(detail) => detail,
            Err(Malformed) => Detail::error(ErrorKind::MalformedFlag),
        };
        if walk.big_segments {
            detail.reason.big_segments_status = Some(BigSegmentsStatus::NotConfigured);
        }
        Some(Explanation::of(key, detail, steps))
    }
}

impl Explanation {
    fn of(key: &str, detail: Detail<'_>, steps: Vec<Step>) -> Self {
        Self {
            flag: key.to_owned(),
            value: detail.value.cloned(),
            variation: detail.variation_index,
            reason: detail.reason.into_owned(),
            steps,
        }
    }
}

struct Walk<'a> {
    all: &'a Explainer,
    context: &'a Context,
    visits_left: u32,
    /// Whether a store of big segments would have been asked.
    big_segments: bool,
}

impl<'a> Walk<'a> {
    fn visit(&mut self) -> Result<(), Malformed> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or(Malformed)?;
        Ok(())
    }

    fn flag(
        &mut self,
        flag: &'a PreparedFlag,
        chain: Chain<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<Detail<'a>, Malformed> {
        if !flag.on {
            steps.push(Step::Off);
            return Ok(told(flag.off(ReasonKind::Off), steps));
        }
        if let Some(failed) = self.failed_prerequisite(flag, &chain, steps)? {
            return Ok(told(flag.off(failed), steps));
        }
        if let Some(variation) = self.target(flag, steps) {
            return Ok(told(flag.serve_variation(variation, ReasonKind::TargetMatch.into()), steps));
        }
        let model = self.all.flags.get(flag.key());
        for (index, rule) in flag.rules.iter().enumerate() {
            let clauses =
                model.and_then(|model| model.rules.get(index)).map_or(&[][..], |rule| &rule.clauses);
            let mut seen = Vec::new();
            let matched = self.all_match(&rule.clauses, clauses, None, &mut seen);
            let share = match (&matched, &rule.serve) {
                (Ok(true), Serve::Rollout(rollout)) => self.share(rollout),
                _ => None,
            };
            let (id, is_match) = (rule.id.to_string(), matches!(matched, Ok(true)));
            steps.push(Step::Rule { index, id, clauses: seen, matched: is_match, share });
            if matched
                .map_err(|error| malformed(steps, "a clause of this rule cannot be evaluated", error))?
            {
                let reason = ReasonKind::RuleMatch { index, id: (&*rule.id).into() };
                return Ok(told(self.serve(flag, &rule.serve, reason), steps));
            }
        }
        let share = match &flag.fallthrough {
            Serve::Rollout(rollout) => self.share(rollout),
            _ => None,
        };
        steps.push(Step::Fallthrough { share });
        Ok(told(self.serve(flag, &flag.fallthrough, ReasonKind::Fallthrough), steps))
    }

    fn failed_prerequisite(
        &mut self,
        flag: &'a PreparedFlag,
        chain: &Chain<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<Option<ReasonKind<'a>>, Malformed> {
        for prerequisite in &flag.prerequisites {
            let key = prerequisite.key.to_string();
            let wanted = i64::from(prerequisite.variation);
            let entered = self.visit().and_then(|()| chain.inside(&prerequisite.key));
            let chain = entered.map_err(|error| {
                let problem =
                    format!("its prerequisite `{key}` leads back to where it is needed, or too deep");
                malformed(steps, &problem, error)
            })?;
            let failed = ReasonKind::PrerequisiteFailed { key: (&*prerequisite.key).into() };
            let Some(other) = self.all.data.flag(&prerequisite.key) else {
                steps.push(Step::Prerequisite { key, wanted, met: false, explanation: None });
                return Ok(Some(failed));
            };
            let mut inner = Vec::new();
            let detail = self.flag(other, chain, &mut inner);
            let shown = detail.as_ref().cloned().unwrap_or_else(|_| Detail::error(ErrorKind::MalformedFlag));
            let met = other.on && shown.variation_index == Some(prerequisite.variation as usize);
            let explanation = Some(Box::new(Explanation::of(&key, shown, inner)));
            steps.push(Step::Prerequisite { key, wanted, met, explanation });
            detail.map_err(|error| malformed(steps, "its prerequisite cannot be evaluated", error))?;
            if !met {
                return Ok(Some(failed));
            }
        }
        Ok(None)
    }

    fn target(&self, flag: &PreparedFlag, steps: &mut Vec<Step>) -> Option<u32> {
        if flag.targets.is_empty() {
            return None;
        }
        let found = flag.targets.iter().find_map(|targets| {
            let key = self.context.key(&targets.kind)?;
            let variation = targets.keys.get(key)?;
            Some(Listed { kind: targets.kind.to_string(), key: key.to_owned(), variation: Some(variation) })
        });
        let variation = found.as_ref().and_then(|found| found.variation);
        let model = self.all.flags.get(flag.key());
        let lists = model.into_iter().flat_map(|model| model.targets.iter().chain(&model.context_targets));
        steps.push(Step::Targets { keys: lists.map(|list| list.values.len()).sum(), found });
        variation
    }

    /// As the evaluator goes through them: up to the first that does not match. The rest is listed, unseen.
    fn all_match(
        &mut self,
        clauses: &[Clause],
        models: &[model::Clause],
        segments: Option<&Chain<'_>>,
        seen: &mut Vec<ClauseSeen>,
    ) -> Result<bool, Malformed> {
        let mut outcome = Ok(true);
        for (clause, model) in clauses.iter().zip(models) {
            let mut shown =
                ClauseSeen { clause: model.clone(), found: None, segments: Vec::new(), matched: None };
            if matches!(outcome, Ok(true)) {
                shown.found = self.found(clause);
                outcome = self.clause(clause, segments, &mut shown.segments);
                shown.matched = outcome.as_ref().ok().copied();
            }
            seen.push(shown);
        }
        outcome
    }

    /// What the context has where a clause looks.
    fn found(&self, clause: &Clause) -> Option<Value> {
        match clause {
            Clause::Attribute { attribute, .. } => {
                let member = self.context.member(&attribute.kind)?;
                read(member, &attribute.reference)
            }
            Clause::Kind { .. } => {
                let kinds = self.context.members().iter().map(|member| Value::from(member.kind()));
                Some(Value::Array(kinds.collect()))
            }
            Clause::Segments { .. } | Clause::Malformed => None,
        }
    }

    fn clause(
        &mut self,
        clause: &Clause,
        chain: Option<&Chain<'_>>,
        segments: &mut Vec<SegmentSeen>,
    ) -> Result<bool, Malformed> {
        match clause {
            Clause::Malformed => Err(Malformed),
            Clause::Attribute { attribute, test, negate } => {
                Ok(match self.context.attribute(&attribute.kind, &attribute.reference) {
                    AttributeValue::Missing => false,
                    AttributeValue::List(list) => list.any(&mut |element| test.passes(element)) != *negate,
                    value => test.passes(value) != *negate,
                })
            }
            Clause::Kind { test, negate } => {
                let passes = self.context.any_kind(&mut |kind| test.passes(AttributeValue::String(kind)));
                Ok(passes != *negate)
            }
            Clause::Segments { keys, negate } => Ok(self.any_segment(keys, chain, segments)? != *negate),
        }
    }

    fn any_segment(
        &mut self,
        keys: &[Box<str>],
        chain: Option<&Chain<'_>>,
        seen: &mut Vec<SegmentSeen>,
    ) -> Result<bool, Malformed> {
        for key in keys {
            let Some(segment) = self.all.data.segment(key) else {
                seen.push(SegmentSeen { key: key.to_string(), inside: false, why: WhySegment::Unknown });
                continue;
            };
            let chain = match chain {
                Some(chain) => {
                    self.visit()?;
                    chain.inside(segment.key())?
                }
                None => Chain::first(segment.key()),
            };
            let (inside, why) = self.segment(segment, &chain)?;
            seen.push(SegmentSeen { key: key.to_string(), inside, why });
            if inside {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn segment(
        &mut self,
        segment: &PreparedSegment,
        chain: &Chain<'_>,
    ) -> Result<(bool, WhySegment), Malformed> {
        if let Some(big) = &segment.big {
            let nobody = WhySegment::Rules { rules: Vec::new(), big: true };
            if big.reference.is_none() {
                self.big_segments = true;
                return Ok((false, nobody));
            }
            if self.context.key(&big.kind).is_none() {
                return Ok((false, nobody));
            }
            self.big_segments = true;
        } else {
            if let Some(listed) = self.listed(&segment.included) {
                return Ok((true, WhySegment::Included(listed)));
            }
            if let Some(listed) = self.listed(&segment.excluded) {
                return Ok((false, WhySegment::Excluded(listed)));
            }
        }
        let (mut rules, mut inside) = (Vec::new(), false);
        let model = self.all.segments.get(segment.key());
        for (index, rule) in segment.rules.iter().enumerate() {
            let models = model.and_then(|model| model.rules.get(index)).map_or(&[][..], |rule| &rule.clauses);
            let mut clauses = Vec::new();
            inside = self.all_match(&rule.clauses, models, Some(chain), &mut clauses)?;
            let mut share = None;
            if let Some(wanted) = rule.share.as_ref().filter(|_| inside) {
                if wanted.bucketing.attribute.as_ref().is_some_and(|reference| !reference.is_valid()) {
                    return Err(Malformed);
                }
                let placed = place(&wanted.bucketing, self.context);
                inside = placed.is_some_and(|bucket| bucket < wanted.end);
                let (from, to) = if inside { (0.0, wanted.end) } else { (wanted.end, 1.0) };
                share = Some(Share::of(&wanted.bucketing, placed, (from, to), None, false));
            }
            rules.push(SegmentRuleSeen { index, clauses, share, matched: inside });
            if inside {
                break;
            }
        }
        Ok((inside, WhySegment::Rules { rules, big: segment.big.is_some() }))
    }

    fn listed(&self, lists: &[SegmentKeys]) -> Option<Listed> {
        lists.iter().find_map(|list| {
            let key = self.context.key(&list.kind)?;
            let listed = Listed { kind: list.kind.to_string(), key: key.to_owned(), variation: None };
            list.keys.contains(key).then_some(listed)
        })
    }

    fn share(&self, rollout: &Rollout) -> Option<Share> {
        let (variation, in_experiment) = choose(rollout, self.context)?;
        let placed = place(&rollout.bucketing, self.context);
        let bucket = placed.unwrap_or(0.0);
        // The last share takes in what the others leave.
        let last = rollout.shares.len() - 1;
        let index = rollout.shares.iter().position(|share| bucket < share.end).unwrap_or(last);
        let from = index.checked_sub(1).map_or(0.0, |before| rollout.shares[before].end);
        let to = if index == last { rollout.shares[index].end.max(1.0) } else { rollout.shares[index].end };
        Some(Share::of(&rollout.bucketing, placed, (from, to), Some(variation), in_experiment))
    }

    fn serve(&self, flag: &'a PreparedFlag, serve: &'a Serve, reason: ReasonKind<'a>) -> Detail<'a> {
        match serve {
            Serve::Variation(variation) => flag.serve_variation(*variation, reason.into()),
            Serve::Rollout(rollout) => match choose(rollout, self.context) {
                Some((variation, in_experiment)) => {
                    flag.serve_variation(variation, Reason { in_experiment, ..reason.into() })
                }
                None => Detail::error(ErrorKind::MalformedFlag),
            },
            Serve::Nothing => Detail::error(ErrorKind::MalformedFlag),
        }
    }
}

impl Share {
    fn of(
        bucketing: &Bucketing,
        bucket: Option<f32>,
        (from, to): (f32, f32),
        variation: Option<u32>,
        in_experiment: bool,
    ) -> Self {
        let attribute =
            bucketing.attribute.as_ref().map_or_else(|| "key".to_owned(), AttributeRef::to_string);
        Self {
            kind: bucketing.kind.to_string(),
            attribute,
            hashed_with: bucketing.prefix.trim_end_matches('.').to_owned(),
            bucket,
            from,
            to,
            variation,
            in_experiment,
        }
    }
}

/// Adds what is wrong where a flag itself cannot serve what it says.
fn told<'a>(detail: Detail<'a>, steps: &mut Vec<Step>) -> Detail<'a> {
    if detail.reason.error_kind().is_some() {
        let problem =
            "what it should serve then is not there: a variation that it has not, or no variation at all";
        steps.push(Step::Malformed { problem: problem.to_owned() });
    }
    detail
}

fn malformed(steps: &mut Vec<Step>, problem: &str, error: Malformed) -> Malformed {
    steps.push(Step::Malformed { problem: problem.to_owned() });
    error
}

/// An attribute as it stands in the context.
fn read(member: &crate::context::SingleContext, reference: &AttributeRef) -> Option<Value> {
    let value = match reference.name() {
        "key" => Some(Value::from(member.key())),
        "kind" => Some(Value::from(member.kind())),
        "name" => member.name().map(Value::from),
        "anonymous" => Some(Value::from(member.is_anonymous())),
        name => member.attribute(name).cloned(),
    }?;
    let found = reference.below().iter().try_fold(value, |value, name| value.get(&**name).cloned());
    found.filter(|value| !value.is_null())
}
