//! Versioned writes that others may disturb: tried again, a bounded number of times.

use std::thread;
use std::time::Duration;

use crate::data_store::StoreError;

/// How often a write is tried while others write to the same place at the same moment.
const MOST_TRIES: usize = 100;

/// What became of one attempt to write an item.
pub(super) enum Try {
    Written,
    /// There is one as new or newer.
    Outdated,
    /// Somebody else was quicker, with whatever version.
    Disturbed,
}

/// Tries until the item is written or outdated, and gives whether it was written.
pub(super) fn until_settled(
    attempted: impl Fn() -> String,
    try_once: impl Fn() -> Result<Try, StoreError>,
) -> Result<bool, StoreError> {
    for tried in 0..MOST_TRIES {
        // Whoever is beaten again and again steps back, each for another while.
        if tried >= 10 {
            let by_chance = u64::from(getrandom::u32().unwrap_or(0) % 5_000);
            thread::sleep(Duration::from_micros(500 + by_chance));
        }
        match try_once()? {
            Try::Written => return Ok(true),
            Try::Outdated => return Ok(false),
            Try::Disturbed => {}
        }
    }
    Err(StoreError::new(format_args!(
        "could not {}: others changed it at each of {MOST_TRIES} tries",
        attempted()
    )))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn settled_after(disturbed: usize) -> Result<bool, StoreError> {
        let tries = Cell::new(0);
        until_settled(
            || "write flag `f`".to_owned(),
            || {
                tries.set(tries.get() + 1);
                Ok(if tries.get() > disturbed { Try::Written } else { Try::Disturbed })
            },
        )
    }

    #[test]
    fn a_write_that_others_disturb_is_tried_again() {
        assert!(settled_after(12).unwrap());
        assert!(settled_after(MOST_TRIES - 1).unwrap());
    }

    #[test]
    fn a_write_that_others_always_disturb_is_an_error() {
        let error = settled_after(MOST_TRIES).unwrap_err().to_string();
        assert_eq!(error, "could not write flag `f`: others changed it at each of 100 tries");
    }

    #[test]
    fn an_outdated_item_is_not_tried_again() {
        assert!(!until_settled(String::new, || Ok(Try::Outdated)).unwrap());
    }
}
