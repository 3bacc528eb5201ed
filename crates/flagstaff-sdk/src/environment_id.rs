//! Which environment the flags are of, as the service says with them.

use std::sync::{Arc, Mutex, PoisonError};

use flagstaff_wire::headers;
use reqwest::header::HeaderMap;

use crate::fork;

/// None until an answer has said it.
#[derive(Default)]
pub(crate) struct EnvironmentId {
    known: Mutex<Option<Arc<str>>>,
}

impl EnvironmentId {
    /// Reads the headers of an answer that brings flags.
    pub(crate) fn learn(&self, headers: &HeaderMap) {
        let Some(id) = headers.get(headers::ENVIRONMENT_ID).and_then(|id| id.to_str().ok()) else { return };
        self.set(id);
    }

    /// It is known from elsewhere.
    pub(crate) fn set(&self, id: &str) {
        if id.is_empty() || self.get().as_deref() == Some(id) {
            return;
        }
        let _unforked = fork::guard();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.into());
    }

    pub(crate) fn get(&self) -> Option<Arc<str>> {
        let _unforked = fork::guard();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
