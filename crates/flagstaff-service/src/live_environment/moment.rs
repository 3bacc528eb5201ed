//! The moments an environment goes through: which change was the last, by its number and by its stamp.
//!
//! The number alone does not say it. A database that was taken back to an earlier state, by a fail-over to a
//! standby that had not heard of everything or by the copy of a file, gives the same numbers to other changes.
//! Each change has a random stamp, so what is said of one life of a database is not believed of another.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use crate::store::change_log::KEPT;

/// An environment at one moment: after this change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The number of the change.
    pub sequence: u64,
    /// Tells it from another one with this number; 0 where there can be none.
    pub stamp: u64,
}

impl From<u64> for Moment {
    fn from(sequence: u64) -> Self {
        Self { sequence, stamp: 0 }
    }
}

/// Fit for tags and selectors.
impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stamp {
            0 => write!(formatter, "{}", self.sequence),
            stamp => write!(formatter, "{}.{stamp:x}", self.sequence),
        }
    }
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, stamp) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { sequence: sequence.parse()?, stamp: u64::from_str_radix(stamp, 16)? })
    }
}

/// The moments that an environment is known to have gone through. What was changed and deleted since any of them
/// is known, too.
#[derive(Debug)]
pub(super) struct Moments(VecDeque<Moment>);

impl Moments {
    /// None before this one.
    pub(super) fn since(first: Moment) -> Self {
        Self(VecDeque::from([first]))
    }

    /// The present one.
    pub(super) fn now(&self) -> Moment {
        *self.0.back().unwrap_or_else(|| unreachable!("there is always one"))
    }

    /// Goes on to another, if it is a later one. Tells if so many have passed that the oldest were forgotten: then
    /// nobody needs to know what was before the [`first`](Self::first).
    pub(super) fn pass(&mut self, moment: Moment) -> bool {
        if moment.sequence <= self.now().sequence {
            return false;
        }
        self.0.push_back(moment);
        // Not one at a time: whoever is told goes through all that was deleted.
        let forgets = self.0.len() > 2 * KEPT as usize;
        if forgets {
            self.0.drain(..KEPT as usize);
        }
        forgets
    }

    /// The earliest one that is known.
    pub(super) fn first(&self) -> Moment {
        *self.0.front().unwrap_or_else(|| unreachable!("there is always one"))
    }

    /// Whether it went through this one.
    pub(super) fn contains(&self, moment: Moment) -> bool {
        let found = self.0.binary_search_by_key(&moment.sequence, |known| known.sequence);
        found.is_ok_and(|place| self.0[place] == moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for moment in
            [Moment::from(17), Moment { sequence: 17, stamp: 0xab }, Moment { sequence: 1, stamp: u64::MAX }]
        {
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for wrong in ["", ".", "17.", ".1", "17.x", "-1", "17.1.1", "99999999999999999999"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_change_with_the_same_number_is_another_moment() {
        let mut moments = Moments::since(Moment { sequence: 5, stamp: 1 });
        assert!(!moments.pass(Moment { sequence: 7, stamp: 2 }));
        assert!(!moments.pass(Moment { sequence: 6, stamp: 3 }));
        assert_eq!(moments.now(), Moment { sequence: 7, stamp: 2 });
        for (sequence, stamp, known) in
            [(5, 1, true), (7, 2, true), (5, 2, false), (6, 3, false), (8, 2, false)]
        {
            assert_eq!(moments.contains(Moment { sequence, stamp }), known, "{sequence}");
        }
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut moments = Moments::since(Moment::from(0));
        let forgot: Vec<u64> = (1..3 * KEPT).filter(|number| moments.pass(Moment::from(*number))).collect();
        assert_eq!(forgot, [2 * KEPT]);
        assert_eq!(moments.first(), Moment::from(KEPT));
        assert!(moments.contains(Moment::from(KEPT)) && !moments.contains(Moment::from(KEPT - 1)));
    }
}
