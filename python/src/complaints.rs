//! What a client says when it is asked for what it cannot do, in the words of the original package.
//!
//! Each situation is told once per client: a flag that is asked for a thousand times a second must
//! not flood the log.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use flagstaff_sdk::LogLevel;
use pyo3::prelude::*;

use crate::caller::Unusable;
use crate::logging;

pub(crate) const BLANK_KEY: &str =
    "User key is blank. Flag evaluation will proceed, but the user will not be stored in LaunchDarkly.";
pub(crate) const NO_KEY: &str = "User or user key is None; returning default value";

/// How many situations are remembered; what comes after those is not told.
const CAPACITY: usize = 1_000;

/// The situations one client has told of.
#[derive(Default)]
pub(crate) struct Complaints {
    told: Mutex<HashSet<String>>,
    /// Whether a flag has had a value.
    had_value: AtomicBool,
}

impl Complaints {
    /// Warns, unless the same was said before.
    #[cold]
    pub(crate) fn warn(&self, py: Python<'_>, message: &str) {
        if self.is_new(message) {
            logging::log(py, LogLevel::Warn, message);
        }
    }

    /// Warns of a situation whose message differs each time.
    #[cold]
    pub(crate) fn warn_of(&self, py: Python<'_>, situation: &str, message: impl FnOnce() -> String) {
        if self.is_new(situation) {
            logging::log(py, LogLevel::Warn, &message());
        }
    }

    /// Says that a call came to nothing, in the words of the era that its input belongs to.
    #[cold]
    pub(crate) fn unusable(&self, py: Python<'_>, why: &Unusable<'_>, call: &str) {
        self.warn(py, &about_unusable(why, call));
    }

    /// True the first time that a flag has a value.
    pub(crate) fn first_value(&self) -> bool {
        !self.had_value.load(Ordering::Relaxed) && !self.had_value.swap(true, Ordering::Relaxed)
    }

    fn is_new(&self, situation: &str) -> bool {
        // Nothing under the lock runs Python code, so the thread that holds it is never made to wait.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < CAPACITY && told.insert(situation.to_owned())
    }
}

fn about_unusable(why: &Unusable<'_>, call: &str) -> String {
    let error = match why {
        Unusable::Context(context) => context.get().checked().err().unwrap_or_default().to_owned(),
        Unusable::OtherType(type_name) => format!("Cannot use a {type_name} as a context"),
        Unusable::NoKey | Unusable::KeyMissing => {
            return match call {
                "all_flags_state" => {
                    "User or user key is None when calling all_flags_state(). Returning empty state."
                        .to_owned()
                }
                _ => format!("Missing user or user key when calling {call}()."),
            };
        }
    };
    match call {
        "flag evaluation" | "all_flags_state" => {
            format!("Context was invalid for {call} ({error}); returning default value")
        }
        "secure_mode_hash" => format!("Context was invalid for {call} ({error}); returning empty hash"),
        _ => format!("Invalid context for {call} ({error})"),
    }
}
