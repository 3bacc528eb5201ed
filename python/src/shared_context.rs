//! A context that events keep without copying it.

use std::borrow::Cow;
use std::sync::Arc;

use flagstaff_eval::{AttributeRef, AttributeValue, ContextRead};
use flagstaff_sdk::EventContext;

/// A context behind a count of its users.
#[derive(PartialEq)]
pub(crate) struct SharedContext(Arc<flagstaff_eval::Context>);

impl SharedContext {
    pub(crate) fn new(context: flagstaff_eval::Context) -> Self {
        Self(Arc::new(context))
    }
}

impl From<Arc<flagstaff_eval::Context>> for SharedContext {
    fn from(context: Arc<flagstaff_eval::Context>) -> Self {
        Self(context)
    }
}

impl std::ops::Deref for SharedContext {
    type Target = flagstaff_eval::Context;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ContextRead for SharedContext {
    #[inline]
    fn key(&self, kind: &str) -> Option<&str> {
        self.0.key(kind)
    }

    #[inline]
    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c> {
        self.0.attribute(kind, reference)
    }

    #[inline]
    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.0.any_kind(test)
    }

    #[inline]
    fn secondary(&self) -> Option<&str> {
        self.0.secondary()
    }
}

impl EventContext for SharedContext {
    #[inline]
    fn canonical_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0.canonical_key())
    }

    fn to_context(&self) -> Arc<flagstaff_eval::Context> {
        Arc::clone(&self.0)
    }
}
