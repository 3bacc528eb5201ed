//! What happened to a flag, in words.

use std::collections::HashMap;

use flagstaff_eval::Value;

use super::Serves;
use crate::dashboard::parts::{Moment, Variations};
use crate::dashboard::words::{count, joined, shortened};
use crate::store::audit::WrittenEntry;
use crate::store::targeting::{FlagDefinition, Targeting};

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Moment,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) comment: String,
}

/// The changes that matter in an environment: those made there, and those of all environments.
pub(super) fn events(
    entries: Vec<WrittenEntry>,
    environment_key: &str,
    definition: &FlagDefinition,
    now_ms: i64,
) -> Vec<Event> {
    let matters =
        |entry: &WrittenEntry| entry.environment_key.as_deref().is_none_or(|key| key == environment_key);
    entries
        .into_iter()
        .filter(matters)
        .map(|entry| Event {
            at: Moment::new(entry.at, now_ms),
            what: what(&entry, definition),
            who: if entry.actor_kind == "accessToken" {
                format!("{}, an access token", entry.actor_name)
            } else {
                entry.actor_name
            },
            comment: entry.comment,
        })
        .collect()
}

fn what(entry: &WrittenEntry, definition: &FlagDefinition) -> String {
    match entry.action.as_str() {
        "create" => return "Made this flag".to_owned(),
        "delete" => return "Deleted this flag".to_owned(),
        _ => {}
    }
    let changes = match (&entry.environment_key, &entry.before, &entry.after) {
        (Some(_), Some(before), Some(after)) => read(before)
            .zip(read(after))
            .map(|(before, after)| targeting_changes(&before, &after, definition)),
        (None, Some(before), Some(after)) => {
            read(before).zip(read(after)).map(|(before, after)| definition_changes(&before, &after))
        }
        _ => None,
    };
    let changes = changes.unwrap_or_default();
    let text = if changes.is_empty() { "changed its settings".to_owned() } else { joined(&changes, "and") };
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Written by us, possibly by an older version with other fields.
fn read<T: serde::de::DeserializeOwned>(state: &Value) -> Option<T> {
    T::deserialize(state).ok()
}

fn targeting_changes(before: &Targeting, after: &Targeting, definition: &FlagDefinition) -> Vec<String> {
    let variations = Variations(&definition.variations);
    let mut changes = Vec::new();
    if before.on != after.on {
        changes.push(if after.on { "turned it on" } else { "turned it off" }.to_owned());
    }
    if before.fallthrough != after.fallthrough {
        let serves = Serves::new(variations, after.fallthrough.variation, after.fallthrough.rollout.as_ref());
        changes.push(format!("changed the default rule to {}", serves.text()));
    }
    if before.off_variation != after.off_variation {
        let mark = after.off_variation.and_then(|index| variations.mark(index));
        let served = mark.map_or_else(|| "the default in the code".to_owned(), |mark| mark.text());
        changes.push(format!("serves {served} when off"));
    }
    if before.rules != after.rules {
        changes.push(list_change(&rule_ids(before), &rule_ids(after), "rule", "rules"));
    }
    if before.targets != after.targets {
        changes.push(list_change(
            &target_keys(before),
            &target_keys(after),
            "individual target",
            "individual targets",
        ));
    }
    if before.prerequisites != after.prerequisites {
        let keys =
            |targeting: &Targeting| targeting.prerequisites.iter().map(|needed| needed.key.clone()).collect();
        changes.push(list_change(&keys(before), &keys(after), "prerequisite", "prerequisites"));
    }
    if (before.track_events, before.track_events_fallthrough)
        != (after.track_events, after.track_events_fallthrough)
    {
        changes.push("changed which evaluations are reported".to_owned());
    }
    if before.debug_events_until_date != after.debug_events_until_date {
        changes.push("changed until when debug events are sent".to_owned());
    }
    if before.salt != after.salt {
        changes.push("dealt out the percentages anew".to_owned());
    }
    changes
}

fn rule_ids(targeting: &Targeting) -> Vec<String> {
    targeting.rules.iter().map(|rule| rule.id.clone()).collect()
}

fn target_keys(targeting: &Targeting) -> Vec<String> {
    let keys = targeting.targets.iter().flat_map(|target| {
        target
            .values
            .iter()
            .map(|key| format!("{}:{}:{key}", target.variation, crate::store::targeting::kind_of(target)))
    });
    keys.collect()
}

/// `added 2 rules`, `removed 1 rule`, `changed rules`.
fn list_change(before: &Vec<String>, after: &Vec<String>, one: &str, many: &str) -> String {
    let missing = |from: &Vec<String>, other: &Vec<String>| {
        let mut left: HashMap<&str, usize> = HashMap::new();
        for key in other {
            *left.entry(key).or_default() += 1;
        }
        let gone = from.iter().filter(|key| match left.get_mut(key.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        gone.count() as u64
    };
    match (missing(after, before), missing(before, after)) {
        (0, 0) => format!("changed {many}"),
        (added, 0) => format!("added {}", count(added, one, many)),
        (0, removed) => format!("removed {}", count(removed, one, many)),
        (added, removed) => format!("added {} and removed {removed}", count(added, one, many)),
    }
}

fn definition_changes(before: &FlagDefinition, after: &FlagDefinition) -> Vec<String> {
    let mut changes = Vec::new();
    if before.name != after.name {
        changes.push(format!("renamed it from “{}”", shortened(&before.name, 60)));
    }
    if before.description != after.description {
        changes.push("changed the description".to_owned());
    }
    if before.tags != after.tags {
        changes.push("changed the tags".to_owned());
    }
    if before.variations != after.variations {
        let ids = |definition: &FlagDefinition| {
            definition.variations.iter().map(|known| known.id.clone()).collect()
        };
        changes.push(list_change(&ids(before), &ids(after), "variation", "variations"));
    }
    if before.maintainer_id != after.maintainer_id {
        changes.push("changed who looks after it".to_owned());
    }
    if before.availability != after.availability {
        changes.push("changed which client-side SDKs see it".to_owned());
    }
    if before.temporary != after.temporary {
        changes.push(if after.temporary { "marked it temporary" } else { "marked it permanent" }.to_owned());
    }
    if before.defaults != after.defaults {
        changes.push("changed what new environments serve".to_owned());
    }
    changes
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::{Target, VariationOrRollout};
    use serde_json::json;

    use super::*;
    use crate::store::targeting::{Rule, Variation};

    fn definition() -> FlagDefinition {
        let variations = [json!(true), json!(false)].map(|value| Variation { value, ..Variation::default() });
        FlagDefinition { variations: variations.into(), ..FlagDefinition::default() }
    }

    fn check(before: Targeting, after: Targeting, expected: &str) {
        let entry = WrittenEntry {
            public_id: String::new(),
            at: 0,
            actor_kind: "member".to_owned(),
            actor_name: "Ada".to_owned(),
            environment_key: Some("test".to_owned()),
            action: "update".to_owned(),
            comment: String::new(),
            before: Some(json!(before)),
            after: Some(json!(after)),
        };
        assert_eq!(what(&entry, &definition()), expected);
    }

    #[test]
    fn changes_of_targeting_read_as_words() {
        let base = Targeting::default;
        check(base(), Targeting { on: true, ..base() }, "Turned it on");
        let rule = |id: &str| Rule { id: id.to_owned(), ..Rule::default() };
        let rules = |ids: &[&str]| Targeting { rules: ids.iter().map(|id| rule(id)).collect(), ..base() };
        check(rules(&["a"]), rules(&["a", "b", "c"]), "Added 2 rules");
        check(rules(&["a"]), rules(&[]), "Removed 1 rule");
        check(rules(&["a", "b"]), rules(&["b", "a"]), "Changed rules");
        let targets = |keys: &[&str]| {
            let values = keys.iter().map(|key| (*key).to_owned()).collect();
            Targeting { targets: vec![Target { context_kind: None, variation: 0, values }], ..base() }
        };
        check(targets(&["a"]), targets(&["b", "c"]), "Added 2 individual targets and removed 1");
        check(
            base(),
            Targeting { on: true, fallthrough: VariationOrRollout::variation(1), ..base() },
            "Turned it on and changed the default rule to serve false",
        );
        check(base(), base(), "Changed its settings");
    }
}
