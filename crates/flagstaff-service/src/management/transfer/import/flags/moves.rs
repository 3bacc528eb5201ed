//! Where the variations of a flag are once it has other ones.
//!
//! Targeting names variations by place. In environments that the document does not speak of, and in other flags
//! that need this one, it goes on meaning what it meant.

use crate::management::flag::{renumber, user_of};
use crate::store::targeting::{Targeting, Variation};

/// Whether an old variation, at its place, is a new one, at its place.
type Is<'f> = dyn Fn(&Variation, usize, &Variation, usize) -> bool + 'f;

/// Where each variation is now.
#[derive(Debug)]
pub(super) struct Moves<'v> {
    old: &'v [Variation],
    new: &'v [Variation],
    to: Vec<Option<usize>>,
}

impl<'v> Moves<'v> {
    /// A variation is the one with its id, else the one with its value. One that is found by neither was edited, if
    /// the one in its place is nobody else's; otherwise it is gone.
    pub(super) fn between(old: &'v [Variation], new: &'v [Variation]) -> Self {
        let mut to: Vec<Option<usize>> = vec![None; old.len()];
        let mut is_free = vec![true; new.len()];
        let same_id = |old: &Variation, _: usize, new: &Variation, _: usize| old.id == new.id;
        let same_value = |old: &Variation, _: usize, new: &Variation, _: usize| old.value == new.value;
        let same_place = |_: &Variation, old: usize, _: &Variation, new: usize| old == new;
        let both = |one: &Variation, at: usize, other: &Variation, place: usize| {
            same_value(one, at, other, place) && at == place
        };
        let are: [&Is<'_>; 4] = [&same_id, &both, &same_value, &same_place];
        for is in are {
            for (at, one) in old.iter().enumerate().filter(|(at, _)| to[*at].is_none()).collect::<Vec<_>>() {
                let found = new
                    .iter()
                    .enumerate()
                    .find(|(place, other)| is_free[*place] && is(one, at, other, *place));
                if let Some((place, _)) = found {
                    is_free[place] = false;
                    to[at] = Some(place);
                }
            }
        }
        Self { old, new, to }
    }

    /// Where a variation is now; none if it is gone.
    pub(super) fn of(&self, index: i64) -> Option<i64> {
        let to = usize::try_from(index).ok().and_then(|index| *self.to.get(index)?);
        to.map(|place| place as i64)
    }

    /// Whether each is where it was.
    pub(super) fn are_none(&self) -> bool {
        self.to.iter().enumerate().all(|(at, to)| *to == Some(at))
    }

    /// Has targeting mean what it meant, as far as there are such values.
    ///
    /// # Errors
    /// What serves a variation that is gone, in words.
    pub(super) fn follow(&self, targeting: &mut Targeting) -> Result<(), String> {
        for (at, variation) in self.old.iter().enumerate().filter(|(at, _)| self.to[*at].is_none()) {
            if let Some(user) = user_of(targeting, at as i64) {
                return Err(format!("{user} serves {}, which would be gone", variation.value));
            }
        }
        renumber(targeting, |index| self.of(index).unwrap_or(index));
        Ok(())
    }

    /// The values that `targeting`, which was not changed yet, would serve other ones of: before and after.
    pub(super) fn edited_in(&self, targeting: &Targeting) -> impl Iterator<Item = (&Variation, &Variation)> {
        let pairs =
            self.old.iter().enumerate().filter_map(|(at, old)| Some((at, old, &self.new[self.to[at]?])));
        pairs
            .filter(|(at, old, new)| old.value != new.value && user_of(targeting, *at as i64).is_some())
            .map(|(_, old, new)| (old, new))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn variations(pairs: &[(&str, Value)]) -> Vec<Variation> {
        let one = |(id, value): &(&str, Value)| Variation {
            id: (*id).to_owned(),
            value: value.clone(),
            ..Variation::default()
        };
        pairs.iter().map(one).collect()
    }

    #[track_caller]
    fn check(old: &[(&str, Value)], new: &[(&str, Value)], to: &[Option<usize>]) {
        assert_eq!(Moves::between(&variations(old), &variations(new)).to, to);
    }

    #[test]
    fn a_variation_is_found_by_its_id_then_by_its_value_then_in_its_place() {
        let [yes, no] = [json!(true), json!(false)];
        let old = [("a", yes.clone()), ("b", no.clone())];
        check(&old, &[("b", json!(1)), ("a", json!(2))], &[Some(1), Some(0)]);
        check(&old, &[("x", no.clone()), ("y", yes.clone())], &[Some(1), Some(0)]);
        check(&old, &[("x", yes.clone()), ("y", json!(2))], &[Some(0), Some(1)]);
        check(&old, &[("x", no.clone())], &[None, Some(0)]);
        check(&old, &[], &[None, None]);
        // Of two equal ones each is its own.
        check(
            &[("a", yes.clone()), ("b", yes.clone())],
            &[("x", yes.clone()), ("y", yes)],
            &[Some(0), Some(1)],
        );
    }
}
