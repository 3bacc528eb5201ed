//! Regular expressions: compiled at first use, limited in size, shared by equal text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use regex::{Regex, RegexBuilder};

/// A compiled expression may take this much memory; a larger one never matches.
const COMPILED_BYTES: usize = 1 << 20;

/// A regular expression that is compiled when it is first asked. Unsupported syntax never matches.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Arc<Regex>>>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    #[inline]
    pub(crate) fn is_match(&self, subject: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| shared(&self.text));
        compiled.as_ref().is_some_and(|regex| regex.is_match(subject))
    }

    /// Whether the engine knows the syntax; cheaper than compiling.
    pub(crate) fn is_supported(&self) -> bool {
        regex_syntax::parse(&self.text).is_ok()
    }
}

/// The compiled form of `text`, which equal patterns of all flags share.
fn shared(text: &str) -> Option<Arc<Regex>> {
    static COMPILED: OnceLock<Mutex<HashMap<Box<str>, Weak<Regex>>>> = OnceLock::new();
    let cache = COMPILED.get_or_init(Mutex::default);
    let find = || cache.lock().unwrap_or_else(PoisonError::into_inner).get(text).and_then(Weak::upgrade);
    if let Some(regex) = find() {
        return Some(regex);
    }
    // Compiled outside the lock: a large expression delays nobody else.
    let regex = Arc::new(RegexBuilder::new(text).size_limit(COMPILED_BYTES).build().ok()?);
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len().is_power_of_two() {
        cache.retain(|_, other| other.strong_count() > 0);
    }
    cache.insert(text.into(), Arc::downgrade(&regex));
    Some(regex)
}
