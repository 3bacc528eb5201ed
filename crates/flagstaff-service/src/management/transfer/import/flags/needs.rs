//! What flags of one project need of each other.

use std::collections::{BTreeMap, HashMap};

use super::moves::Moves;
use super::{Planned, Planning};
use crate::management::flag::rules;
use crate::management::transfer::import::Report;
use crate::store::targeting::Targeting;

impl Planning<'_, '_> {
    /// Refuses those whose prerequisites are not there, also because they were refused themselves; and those
    /// that would take from another flag what it needs of them.
    pub(super) fn drop_those_without_prerequisites(&mut self, report: &mut Report) {
        loop {
            let mut refused = BTreeMap::new();
            for (environment, _) in &self.place.environments {
                let others = self.as_it_would_be(&environment.key);
                let planned = self.planned.values();
                refused.extend(
                    planned.filter_map(|planned| self.problem_of(planned, &environment.key, &others)),
                );
            }
            if refused.is_empty() {
                return;
            }
            for (key, reason) in refused {
                self.planned.remove(&key);
                report.refuse("flag", &self.place.project.key, None, &key, reason);
            }
        }
    }

    /// For each flag of an environment: how many variations it would have, and its prerequisites.
    fn as_it_would_be(&self, environment: &str) -> HashMap<String, (usize, Vec<String>)> {
        let entry = |variations: usize, targeting: Option<&Targeting>| {
            let keys = targeting.into_iter().flat_map(|targeting| &targeting.prerequisites);
            (variations, keys.map(|known| known.key.clone()).collect())
        };
        let mut all = HashMap::new();
        for (key, state) in &self.known {
            let row = state.environments.iter().find(|(known, _)| known.key == environment);
            let targeting = row.map(|(_, row)| &row.targeting);
            all.insert(key.clone(), entry(state.flag.definition.variations.len(), targeting));
        }
        for (key, planned) in &self.planned {
            let targeting = planned.new.environments.get(environment);
            all.insert(key.clone(), entry(planned.new.definition.variations.len(), targeting));
        }
        all
    }

    fn problem_of(
        &self,
        planned: &Planned,
        environment: &str,
        others: &HashMap<String, (usize, Vec<String>)>,
    ) -> Option<(String, String)> {
        let key = &planned.key;
        if let Some(targeting) = planned.new.environments.get(environment) {
            let place = format!("environments.{environment}");
            if let Err(problem) = rules::check_prerequisites(&place, key, targeting, others) {
                return Some((key.clone(), problem.to_string()));
            }
        }
        let before = planned.before.as_ref()?;
        let moves = Moves::between(&before.flag.definition.variations, &planned.new.definition.variations);
        if moves.are_none() {
            return None;
        }
        // Somebody else may need one that would be gone, or another.
        self.known.iter().find_map(|(other, state)| {
            let mut stay = state.environments.iter().filter(|(known, _)| !self.replaces(other, &known.key));
            let (known, _) = stay.find(|(_, row)| {
                let mut needs = row.targeting.prerequisites.iter().filter(|known| known.key == *key);
                needs.any(|known| moves.of(known.variation) != Some(known.variation))
            })?;
            let reason = format!(
                "flag `{other}` needs a variation of it in `{}` that would be gone, or in another place",
                known.key
            );
            Some((key.clone(), reason))
        })
    }

    /// Whether the document says what a flag is in an environment from now on.
    fn replaces(&self, flag: &str, environment: &str) -> bool {
        let is_sent = self.place.environments.iter().any(|(known, incoming)| {
            known.key == environment && incoming.items.flags.get(flag).is_some_and(|flag| !flag.deleted)
        });
        is_sent && self.planned.contains_key(flag)
    }
}
