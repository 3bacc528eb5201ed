//! What a user gets of each flag, and why: the same evaluation that SDKs make.

use std::cell::RefCell;
use std::collections::HashMap;

use flagstaff_eval::{
    AttributeRef, AttributeValue, Context, ContextError, ContextRead, DataSet, Detail, ErrorKind, ReasonKind,
    evaluate_with_big_segments,
};

use crate::analytics::SeenUser;
use crate::dashboard::flags::{Serves, flag_path, rule_sentence};
use crate::dashboard::parts::{Sentence, VariationMark, Variations};
use crate::dashboard::place::Place;
use crate::live_environment::KnownMembers;
use crate::store::flag::{FlagRow, TargetingRow};

/// What a user gets of one flag.
#[derive(Clone, Debug)]
pub(super) struct FlagValue {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) url: String,
    /// None if it cannot be known.
    pub(super) value: Option<VariationMark>,
    pub(super) reason: String,
    /// Where on the flag's page the reason stands.
    pub(super) reason_url: Option<String>,
    /// The condition that matched.
    pub(super) condition: Option<Sentence>,
}

/// What a user's values are made from.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub(super) data: &'k DataSet,
    /// Which big segments the user is in.
    pub(super) members: &'k KnownMembers,
}

/// A user as an evaluation reads it; notes which private attributes it would have liked to know.
pub(super) struct WatchedUser {
    context: Context,
    redacted: Vec<AttributeRef>,
    missed: RefCell<Vec<String>>,
}

impl WatchedUser {
    /// The user as last seen.
    pub(super) fn new(user: &SeenUser) -> Result<Self, ContextError> {
        let mut builder = Context::builder(&user.key);
        for (name, value) in &user.attributes {
            // What a context cannot have was not evaluated by the program either.
            builder.try_set(name, value.clone());
        }
        Ok(Self {
            context: builder.kind("user").key(&user.key).build()?,
            redacted: user.redacted.iter().map(|text| AttributeRef::new(text)).collect(),
            missed: RefCell::default(),
        })
    }

    /// The user, without a watch.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// What this user gets of a flag.
    pub(super) fn value_of(
        &self,
        place: &Place,
        known: Known<'_>,
        (flag, targeting): &(FlagRow, TargetingRow),
        segments: &HashMap<String, String>,
    ) -> FlagValue {
        self.missed.borrow_mut().clear();
        let detail = match known.data.flag(&flag.key) {
            Some(prepared) => {
                evaluate_with_big_segments(known.data, known.members.to_ask(), prepared, self, &mut |_| {})
            }
            None => Detail::error(ErrorKind::FlagNotFound),
        };
        let url = flag_path(place, &flag.key);
        let mut missed = self.missed.borrow().clone();
        missed.sort_unstable();
        missed.dedup();
        let mut value = FlagValue {
            name: flag.definition.name.clone(),
            key: flag.key.clone(),
            value: None,
            reason: String::new(),
            reason_url: None,
            condition: None,
            url: url.clone(),
        };
        if !missed.is_empty() {
            let private = missed.join(", ");
            value.reason = format!("Cannot be known: hangs on {private}, which the program keeps private");
            return value;
        }
        let variations = Variations(&flag.definition.variations);
        value.value = Some(match detail.variation_index {
            Some(index) => variations.mark_or_missing(index as i64),
            None => VariationMark::default_in_code(),
        });
        let experiment = if detail.reason.in_experiment { ", in an experiment" } else { "" };
        value.reason = match &detail.reason.kind {
            ReasonKind::Off => "The flag is off".to_owned(),
            ReasonKind::TargetMatch => "Is an individual target".to_owned(),
            ReasonKind::RuleMatch { index, .. } => {
                value.reason_url = Some(format!("{url}#rule-{}", index + 1));
                let rule = targeting.targeting.rules.get(*index);
                value.condition = rule.map(|rule| rule_sentence(rule, segments));
                format!("Rule {} matched{experiment}", index + 1)
            }
            ReasonKind::Fallthrough => {
                value.reason_url = Some(format!("{url}#otherwise"));
                let fallthrough = &targeting.targeting.fallthrough;
                let split = fallthrough.variation.is_none();
                let serves = || Serves::new(variations, None, fallthrough.rollout.as_ref()).text();
                value.condition = split.then(|| Sentence::default().words(serves()));
                format!("The default rule{experiment}")
            }
            ReasonKind::PrerequisiteFailed { key } => {
                value.reason_url = Some(flag_path(place, key));
                format!("The prerequisite {key} is off or serves something else")
            }
            ReasonKind::Error(ErrorKind::MalformedFlag) => "The flag contradicts itself".to_owned(),
            _ => "The flag cannot be evaluated now".to_owned(),
        };
        value
    }

    /// Whether what is asked for is, or is part of, or contains, a private attribute.
    fn is_private(&self, wanted: &AttributeRef) -> bool {
        self.redacted.iter().any(|private| {
            let common = private.depth().min(wanted.depth());
            common > 0 && (0..common).all(|place| private.component(place) == wanted.component(place))
        })
    }
}

impl ContextRead for WatchedUser {
    fn key(&self, kind: &str) -> Option<&str> {
        self.context.key(kind)
    }

    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c> {
        if kind == "user" && self.is_private(reference) {
            self.missed.borrow_mut().push(reference.to_string());
        }
        self.context.attribute(kind, reference)
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.context.any_kind(test)
    }
}
