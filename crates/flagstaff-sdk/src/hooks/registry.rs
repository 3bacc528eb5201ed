//! The hooks of one client, in the order in which they were added.

use std::sync::{Arc, OnceLock};

use super::Hook;
use crate::callbacks::contained;
use crate::fork;
use crate::log::Log;

/// A list that only ever grows: whoever walks it takes no lock, and what it finds stays.
#[derive(Default)]
pub(crate) struct Hooks {
    first: OnceLock<Box<Registered>>,
}

/// A hook, its name, and what was added after it.
pub(super) struct Registered {
    pub(super) name: Box<str>,
    pub(super) hook: Arc<dyn Hook>,
    next: OnceLock<Box<Registered>>,
}

impl Hooks {
    pub(crate) fn add(&self, hook: Arc<dyn Hook>, log: &Log) {
        let name = contained(log, "the name of a hook", || hook.name().to_owned());
        let name = name.unwrap_or_else(|| "a hook without a name".to_owned()).into();
        let mut new = Box::new(Registered { name, hook, next: OnceLock::new() });
        let _unforked = fork::guard();
        let mut end = &self.first;
        // Another thread may add one at the same time: this one then comes after it.
        while let Err(refused) = end.set(new) {
            new = refused;
            let Some(other) = end.get() else { return };
            end = &other.next;
        }
    }

    /// Whether there are none: all that an evaluation without hooks pays for them.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Registered> {
        std::iter::successors(self.first.get(), |hook| hook.next.get()).map(|hook| &**hook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(String);

    impl Hook for Named {
        fn name(&self) -> &str {
            assert!(!self.0.is_empty(), "on purpose");
            &self.0
        }
    }

    fn names(hooks: &Hooks) -> Vec<&str> {
        hooks.iter().map(|hook| &*hook.name).collect()
    }

    #[test]
    fn hooks_added_by_many_threads_are_all_there() {
        let hooks = Hooks::default();
        assert!(hooks.is_empty());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let hooks = &hooks;
                scope.spawn(move || {
                    for number in 0..10 {
                        hooks.add(Arc::new(Named(format!("{thread}-{number}"))), &Log::new(None));
                    }
                });
            }
        });
        assert!(!hooks.is_empty());
        for thread in 0..8 {
            let of_one = names(&hooks).into_iter().filter(|name| name.starts_with(&format!("{thread}-")));
            let expected: Vec<_> = (0..10).map(|number| format!("{thread}-{number}")).collect();
            assert_eq!(of_one.collect::<Vec<_>>(), expected, "in the order of the thread that added them");
        }
    }

    #[test]
    fn a_hook_that_cannot_say_its_name_is_a_hook_all_the_same() {
        let hooks = Hooks::default();
        hooks.add(Arc::new(Named(String::new())), &Log::new(None));
        assert_eq!(names(&hooks), ["a hook without a name"]);
    }
}
