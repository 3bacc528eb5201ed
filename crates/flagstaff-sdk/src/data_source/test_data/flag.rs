//! Builds a flag, step by step.

use std::collections::BTreeSet;

use flagstaff_eval::Value;
use flagstaff_eval::model::{Flag, FlagRule, Operator, Target, VariationOrRollout};

use super::rule::FlagRuleBuilder;

/// The kind of contexts if none is named.
const USER: &str = "user";

/// Builds a flag for [`TestData`](super::TestData): see [`TestData::flag`](super::TestData::flag).
///
/// Variations are named by index, or by true and false, which makes a boolean flag of it.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct FlagBuilder {
    key: String,
    on: bool,
    variations: Vec<Value>,
    fallthrough: usize,
    off: usize,
    targets: Vec<Targets>,
    rules: Vec<FlagRule>,
}

/// Keys of one kind that get a variation by name.
#[derive(Clone, Debug, PartialEq)]
struct Targets {
    kind: String,
    variation: usize,
    keys: BTreeSet<String>,
}

/// Names a variation: by its index, or as true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariationChoice {
    /// The flag is a boolean one, and this is the value.
    Boolean(bool),
    /// The place in the list, from 0.
    Index(usize),
}

impl From<bool> for VariationChoice {
    fn from(value: bool) -> Self {
        VariationChoice::Boolean(value)
    }
}

impl From<usize> for VariationChoice {
    fn from(index: usize) -> Self {
        VariationChoice::Index(index)
    }
}

impl FlagBuilder {
    pub(super) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            on: true,
            variations: boolean(),
            fallthrough: 0,
            off: 1,
            targets: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// The flag's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether targeting is in force. Default true.
    pub fn on(mut self, on: bool) -> Self {
        self.on = on;
        self
    }

    /// Makes it a flag of true and false: true for everybody, false when it is off. Does nothing to one
    /// that is such a flag already.
    pub fn boolean_flag(self) -> Self {
        if self.variations == boolean() {
            return self;
        }
        self.variations([true, false]).fallthrough_variation(0).off_variation(1)
    }

    /// Sets the values that the flag can serve.
    pub fn variations<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.variations = values.into_iter().map(Into::into).collect();
        self
    }

    /// What is served when nothing else matches.
    pub fn fallthrough_variation(self, variation: impl Into<VariationChoice>) -> Self {
        let (mut this, index) = self.choose(variation);
        this.fallthrough = index;
        this
    }

    /// What is served when the flag is off.
    pub fn off_variation(self, variation: impl Into<VariationChoice>) -> Self {
        let (mut this, index) = self.choose(variation);
        this.off = index;
        this
    }

    /// Serves this variation to everybody: turns the flag on, without targets and rules.
    pub fn variation_for_all(self, variation: impl Into<VariationChoice>) -> Self {
        self.on(true).clear_rules().clear_targets().fallthrough_variation(variation)
    }

    /// Serves this value to everybody, the only variation that the flag has then.
    pub fn value_for_all(self, value: impl Into<Value>) -> Self {
        self.variations([value.into()]).variation_for_all(0).off_variation(0)
    }

    /// Serves this variation to the user with this key.
    pub fn variation_for_user(self, user_key: &str, variation: impl Into<VariationChoice>) -> Self {
        self.variation_for_key(USER, user_key, variation)
    }

    /// Serves this variation to the context of this kind with this key, and no other that was said
    /// before.
    pub fn variation_for_key(
        self,
        context_kind: &str,
        key: &str,
        variation: impl Into<VariationChoice>,
    ) -> Self {
        let (mut this, index) = self.choose(variation);
        let kind = if context_kind.is_empty() { USER } else { context_kind };
        for targets in this.targets.iter_mut().filter(|targets| targets.kind == kind) {
            targets.keys.remove(key);
        }
        let known =
            this.targets.iter_mut().find(|targets| targets.kind == kind && targets.variation == index);
        match known {
            Some(targets) => {
                targets.keys.insert(key.to_owned());
            }
            None => {
                let keys = BTreeSet::from([key.to_owned()]);
                this.targets.push(Targets { kind: kind.to_owned(), variation: index, keys });
            }
        }
        this.targets.retain(|targets| !targets.keys.is_empty());
        this
    }

    /// Begins a rule: the user's attribute is one of these values.
    pub fn if_match<V: Into<Value>>(
        self,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> FlagRuleBuilder {
        self.if_match_context(USER, attribute, values)
    }

    /// Begins a rule: the attribute of the context of this kind is one of these values.
    pub fn if_match_context<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> FlagRuleBuilder {
        FlagRuleBuilder::new(self).and_match_context(context_kind, attribute, values)
    }

    /// Begins a rule: the user's attribute is none of these values. Users without it do not match.
    pub fn if_not_match<V: Into<Value>>(
        self,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> FlagRuleBuilder {
        self.if_not_match_context(USER, attribute, values)
    }

    /// Begins a rule: the attribute of the context of this kind is none of these values.
    pub fn if_not_match_context<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> FlagRuleBuilder {
        FlagRuleBuilder::new(self).and_not_match_context(context_kind, attribute, values)
    }

    /// Begins a rule: the attribute of the context of this kind compares with one of these values as the
    /// operator says.
    pub fn if_clause<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> FlagRuleBuilder {
        FlagRuleBuilder::new(self).and_clause(context_kind, attribute, operator, values)
    }

    /// Takes all rules away.
    pub fn clear_rules(mut self) -> Self {
        self.rules.clear();
        self
    }

    /// Takes all targets away.
    pub fn clear_targets(mut self) -> Self {
        self.targets.clear();
        self
    }

    /// The index of a variation; a flag for which it is true or false becomes a boolean one.
    pub(super) fn choose(self, variation: impl Into<VariationChoice>) -> (Self, usize) {
        match variation.into() {
            VariationChoice::Boolean(value) => (self.boolean_flag(), usize::from(!value)),
            VariationChoice::Index(index) => (self, index),
        }
    }

    pub(super) fn add_rule(mut self, mut rule: FlagRule) -> Self {
        rule.id = format!("rule{}", self.rules.len());
        self.rules.push(rule);
        self
    }

    /// The flag without a version.
    pub(super) fn to_model(&self) -> Flag {
        let target = |targets: &Targets, context_kind: Option<&str>, values: Vec<String>| Target {
            context_kind: context_kind.map(str::to_owned),
            variation: index(targets.variation),
            values,
        };
        let of_users = |targets: &&Targets| targets.kind == USER;
        let targets = self.targets.iter().filter(of_users);
        let context_targets = self.targets.iter().map(|targets| {
            // The keys of users stand in the other list, and only their place in this one.
            let keys = if of_users(&targets) { Vec::new() } else { Vec::from_iter(targets.keys.clone()) };
            target(targets, Some(&targets.kind), keys)
        });
        Flag {
            key: self.key.clone(),
            on: self.on,
            variations: self.variations.clone(),
            fallthrough: VariationOrRollout::variation(index(self.fallthrough)),
            off_variation: Some(index(self.off)),
            targets: targets.map(|users| target(users, None, Vec::from_iter(users.keys.clone()))).collect(),
            context_targets: context_targets.collect(),
            rules: self.rules.clone(),
            ..Flag::default()
        }
    }
}

fn boolean() -> Vec<Value> {
    vec![true.into(), false.into()]
}

/// As it travels. An index that no list can have is one that this flag does not have.
pub(super) fn index(variation: usize) -> i64 {
    i64::try_from(variation).unwrap_or(i64::MAX)
}
