//! Regular expressions: compiled at first use, limited in size, shared by equal text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwapOption;
use regex::{Regex, RegexBuilder};

/// A compiled expression may take this much memory; a larger one never matches.
const COMPILED_BYTES: usize = 1 << 20;

/// A regular expression that is compiled when it is first asked. Unsupported syntax never matches.
///
/// Nothing here waits for another thread: in a forked child that thread may be gone. Two that ask
/// for the first time at once both compile, and one result stays.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    compiled: ArcSwapOption<Compiled>,
}

#[derive(Debug)]
enum Compiled {
    Regex(Arc<Regex>),
    Unsupported,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: ArcSwapOption::empty() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    #[inline]
    pub(crate) fn is_match(&self, subject: &str) -> bool {
        match &*self.compiled.load() {
            Some(compiled) => compiled.is_match(subject),
            None => self.compile().is_match(subject),
        }
    }

    /// Whether the engine knows the syntax; cheaper than compiling.
    pub(crate) fn is_supported(&self) -> bool {
        regex_syntax::parse(&self.text).is_ok()
    }

    #[cold]
    fn compile(&self) -> Arc<Compiled> {
        let compiled = Arc::new(shared(&self.text).map_or(Compiled::Unsupported, Compiled::Regex));
        self.compiled.store(Some(compiled.clone()));
        compiled
    }
}

impl Compiled {
    #[inline]
    fn is_match(&self, subject: &str) -> bool {
        matches!(self, Compiled::Regex(regex) if regex.is_match(subject))
    }
}

/// The compiled form of `text`, which equal patterns of all flags share. While another thread looks
/// into the list of them, this one does without.
fn shared(text: &str) -> Option<Arc<Regex>> {
    type List = HashMap<Box<str>, Weak<Regex>>;
    static COMPILED: Mutex<Option<List>> = Mutex::new(None);
    let known = COMPILED.try_lock().ok().and_then(|list| list.as_ref()?.get(text)?.upgrade());
    if known.is_some() {
        return known;
    }
    // Compiled outside the lock: a large expression delays nobody else.
    let regex = Arc::new(RegexBuilder::new(text).size_limit(COMPILED_BYTES).build().ok()?);
    if let Ok(mut list) = COMPILED.try_lock() {
        let list = list.get_or_insert_default();
        if list.len().is_power_of_two() {
            list.retain(|_, other| other.strong_count() > 0);
        }
        list.insert(text.into(), Arc::downgrade(&regex));
    }
    Some(regex)
}
