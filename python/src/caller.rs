//! What a caller may hand in as a context, made ready for an evaluation.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use flagstaff_eval::{AttributeRef, AttributeValue};
use flagstaff_sdk::{ContextRead, EventContext};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::context::Context;
use crate::logging;
use crate::user::User;
use crate::value::{copy_of_mapping, type_name};

/// Who or what a call is about. Lives on the stack of one call, where a user of some size costs less
/// than a box would.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Caller<'py> {
    Context(Bound<'py, Context>),
    User(ReportedUser<'py>),
    /// Of no use; a `Context` that says why, or a user without a key.
    Unusable(Unusable<'py>),
}

/// Why nothing can be evaluated for the caller.
pub(crate) enum Unusable<'py> {
    Context(Bound<'py, Context>),
    /// `None`, or a dictionary whose key is `None`.
    NoKey,
    /// A dictionary without a key.
    KeyMissing,
    /// Neither a context nor a dictionary.
    OtherType(String),
}

impl<'py> Caller<'py> {
    /// Exact dictionaries are read in place; anything else that maps is copied first.
    #[inline]
    pub(crate) fn of(value: &Bound<'py, PyAny>) -> Self {
        if let Ok(context) = value.cast::<Context>() {
            return Self::of_context(context.clone());
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            return Self::of_dict(dict.clone());
        }
        if value.is_none() {
            return Caller::Unusable(Unusable::NoKey);
        }
        match copy_of_mapping(value) {
            Some(copy) => Self::of_dict(copy),
            None => Caller::Unusable(Unusable::OtherType(type_name(value))),
        }
    }

    #[inline]
    fn of_context(context: Bound<'py, Context>) -> Self {
        if context.get().checked().is_ok() {
            Caller::Context(context)
        } else {
            Caller::Unusable(Unusable::Context(context))
        }
    }

    #[inline]
    fn of_dict(dict: Bound<'py, PyDict>) -> Self {
        let py = dict.py();
        // A user has no kind: this is the JSON form of a context.
        if let Ok(Some(_)) = dict.get_item(intern!(py, "kind")) {
            return match Bound::new(py, Context::from_properties(dict.as_any())) {
                Ok(context) => Self::of_context(context),
                Err(_) => Caller::Unusable(Unusable::NoKey),
            };
        }
        let missing = || match dict.contains(intern!(py, "key")) {
            Ok(true) => Unusable::NoKey,
            _ => Unusable::KeyMissing,
        };
        match User::new(dict.clone()) {
            Some(user) => Caller::User(ReportedUser { user, replaced: RefCell::default() }),
            None => Caller::Unusable(missing()),
        }
    }
}

/// What hooks and the like are shown of what a caller handed in: a `Context`, which is not valid if there is
/// nobody to evaluate for.
#[pyfunction]
#[pyo3(signature = (context, /))]
pub(crate) fn context_of<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Context>> {
    let py = context.py();
    let shown = match Caller::of(context) {
        Caller::Context(context) | Caller::Unusable(Unusable::Context(context)) => return Ok(context),
        Caller::User(user) => {
            let shown = Context::from(user.to_context());
            user.warn_of_other_types(py);
            shown
        }
        Caller::Unusable(Unusable::NoKey | Unusable::KeyMissing) => {
            Context::invalid("context key must not be None or empty")
        }
        Caller::Unusable(Unusable::OtherType(type_name)) => {
            Context::invalid(format!("Cannot use a {type_name} as a context"))
        }
    };
    Bound::new(py, shown)
}

/// A user dictionary as the client reads and reports it.
pub(crate) struct ReportedUser<'py> {
    user: User<'py>,
    /// The type of an attribute that JSON has no form for, if the user was reported with one.
    replaced: RefCell<Option<String>>,
}

impl ReportedUser<'_> {
    pub(crate) fn has_blank_key(&self) -> bool {
        self.user.key_text().is_empty()
    }

    /// Says what the evaluation came across, now that it is over.
    pub(crate) fn warn_of_other_types(&self, py: Python<'_>) {
        if self.user.met_other_types() && self.replaced.borrow().is_none() {
            // Names the type, which the evaluation itself had no use for.
            self.to_context();
        }
        if let Some(type_name) = self.replaced.take() {
            logging::warn_of_other_type(py, &type_name);
        }
    }
}

impl ContextRead for ReportedUser<'_> {
    #[inline]
    fn key(&self, kind: &str) -> Option<&str> {
        self.user.key(kind)
    }

    #[inline]
    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c> {
        self.user.attribute(kind, reference)
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.user.any_kind(test)
    }

    fn secondary(&self) -> Option<&str> {
        self.user.secondary()
    }
}

impl EventContext for ReportedUser<'_> {
    #[inline]
    fn canonical_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.user.key_text())
    }

    fn to_context(&self) -> Arc<flagstaff_sdk::Context> {
        let mut replaced = None;
        let context = self.user.to_context(&mut replaced);
        if replaced.is_some() {
            *self.replaced.borrow_mut() = replaced;
        }
        Arc::new(context)
    }
}
