//! Builds a rule of a flag, clause by clause.

use flagstaff_eval::Value;
use flagstaff_eval::model::{Clause, FlagRule, Operator};

use super::flag::{FlagBuilder, VariationChoice, index};

/// Builds a rule: begun by [`FlagBuilder::if_match`] and its like, ended by [`FlagRuleBuilder::then_return`].
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct FlagRuleBuilder {
    flag: FlagBuilder,
    clauses: Vec<Clause>,
}

impl FlagRuleBuilder {
    pub(super) fn new(flag: FlagBuilder) -> Self {
        Self { flag, clauses: Vec::new() }
    }

    /// And the user's attribute is one of these values.
    pub fn and_match<V: Into<Value>>(self, attribute: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.and_match_context("user", attribute, values)
    }

    /// And the attribute of the context of this kind is one of these values.
    pub fn and_match_context<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.and(context_kind, attribute, Operator::In, values, false)
    }

    /// And the user's attribute is none of these values. Users without it do not match.
    pub fn and_not_match<V: Into<Value>>(self, attribute: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.and_not_match_context("user", attribute, values)
    }

    /// And the attribute of the context of this kind is none of these values.
    pub fn and_not_match_context<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.and(context_kind, attribute, Operator::In, values, true)
    }

    /// And the attribute of the context of this kind compares with one of these values as the operator
    /// says.
    pub fn and_clause<V: Into<Value>>(
        self,
        context_kind: &str,
        attribute: &str,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.and(context_kind, attribute, operator, values, false)
    }

    /// Ends the rule: who matches all of it gets this variation. Rules are tried in the order in which
    /// they were ended.
    pub fn then_return(self, variation: impl Into<VariationChoice>) -> FlagBuilder {
        let (flag, chosen) = self.flag.choose(variation);
        flag.add_rule(FlagRule {
            clauses: self.clauses,
            variation: Some(index(chosen)),
            ..FlagRule::default()
        })
    }

    fn and<V: Into<Value>>(
        mut self,
        context_kind: &str,
        attribute: &str,
        op: Operator,
        values: impl IntoIterator<Item = V>,
        negate: bool,
    ) -> Self {
        let kind = if context_kind.is_empty() { "user" } else { context_kind };
        self.clauses.push(Clause {
            context_kind: Some(kind.to_owned()),
            attribute: attribute.to_owned(),
            op,
            values: values.into_iter().map(Into::into).collect(),
            negate,
        });
        self
    }
}
