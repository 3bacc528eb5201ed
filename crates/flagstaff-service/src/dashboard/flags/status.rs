//! In one word, how far a flag has come.

use crate::store::flag::{FlagRow, TargetingRow};
use crate::store::targeting::Targeting;
use flagstaff_eval::model::Rollout;

const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
/// Every context, in thousandths of a percent.
const EVERYONE: i64 = 100_000;

/// In one word, how far a flag has come in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Made within a week, and not evaluated yet.
    New,
    /// Evaluated within a week.
    Active,
    /// Serving one variation to all for a week.
    Launched,
    /// Not evaluated for a week.
    Inactive,
}

impl Status {
    /// Of a flag that was last evaluated then, if ever.
    pub(super) fn of(
        flag: &FlagRow,
        targeting: &TargetingRow,
        evaluated_ms: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let within_a_week = |at_ms: i64| at_ms > now_ms - WEEK_MS;
        match evaluated_ms {
            Some(at) if within_a_week(at) => {
                let settled = serves_one_to_all(&targeting.targeting) && !within_a_week(targeting.changed_at);
                if settled { Status::Launched } else { Status::Active }
            }
            None if within_a_week(flag.created_at) => Status::New,
            _ => Status::Inactive,
        }
    }

    /// The word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Status::New => "New",
            Status::Active => "Active",
            Status::Launched => "Launched",
            Status::Inactive => "Inactive",
        }
    }

    /// The word as a class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Status::New => "new",
            Status::Active => "active",
            Status::Launched => "launched",
            Status::Inactive => "inactive",
        }
    }

    /// What the word means.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Status::New => "Made within a week, not evaluated yet",
            Status::Active => "Evaluated within a week",
            Status::Launched => "Serving one variation to all for a week",
            Status::Inactive => "Not evaluated for a week",
        }
    }
}

/// Whether everyone gets the same, whoever they are.
fn serves_one_to_all(targeting: &Targeting) -> bool {
    if !targeting.on {
        return true;
    }
    let Some(one) = only(targeting.fallthrough.variation, targeting.fallthrough.rollout.as_ref()) else {
        return false;
    };
    targeting.prerequisites.is_empty()
        && targeting.targets.iter().all(|target| target.values.is_empty() || target.variation == one)
        && targeting.rules.iter().all(|rule| only(rule.variation, rule.rollout.as_ref()) == Some(one))
}

fn only(variation: Option<i64>, rollout: Option<&Rollout>) -> Option<i64> {
    let whole = |rollout: &Rollout| {
        let first = rollout.variations.first()?;
        (first.weight >= EVERYONE || rollout.variations.len() == 1).then_some(first.variation)
    };
    variation.or_else(|| whole(rollout?))
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::VariationOrRollout;

    use super::*;
    use crate::store::EnvironmentId;
    use crate::store::targeting::FlagDefinition;

    const NOW: i64 = 100 * WEEK_MS;

    fn check(
        created_ms: i64,
        changed_ms: i64,
        evaluated_ms: Option<i64>,
        fallthrough: VariationOrRollout,
        expected: Status,
    ) {
        let flag = FlagRow {
            id: 1,
            public_id: String::new(),
            project_id: 1,
            key: "a".to_owned(),
            version: 1,
            definition: FlagDefinition::default(),
            created_at: created_ms,
        };
        let targeting = TargetingRow {
            environment_id: EnvironmentId(1),
            version: 1,
            targeting: Targeting { on: true, fallthrough, ..Targeting::default() },
            changed_at: changed_ms,
            changed_by: String::new(),
        };
        assert_eq!(Status::of(&flag, &targeting, evaluated_ms, NOW), expected);
    }

    #[test]
    fn status_tells_how_far_a_flag_has_come() {
        let one = || VariationOrRollout::variation(0);
        let long_ago = NOW - 2 * WEEK_MS;
        check(NOW - 1, NOW - 1, None, one(), Status::New);
        check(NOW - 1, NOW - 1, Some(NOW - 1), one(), Status::Active);
        check(long_ago, long_ago, Some(NOW - 1), one(), Status::Launched);
        check(long_ago, NOW - 1, Some(NOW - 1), one(), Status::Active);
        check(
            long_ago,
            long_ago,
            Some(NOW - 1),
            VariationOrRollout::rollout(Rollout::default()),
            Status::Active,
        );
        check(long_ago, long_ago, Some(long_ago), one(), Status::Inactive);
        check(long_ago, long_ago, None, one(), Status::Inactive);
    }
}
