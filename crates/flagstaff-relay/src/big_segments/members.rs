//! Who is in big segments, for values that are evaluated here: as the database says that this relay fills.

use std::sync::{Mutex, PoisonError};

use flagstaff_eval::BigSegmentsStatus;
use flagstaff_sdk::Client;
use flagstaff_service::live_environment::{AskedMembers, Members};

/// Asks through whatever client the environment has at present, which remembers answers for a while.
#[derive(Debug, Default)]
pub(crate) struct Lookup(Mutex<Option<Client>>);

impl Lookup {
    /// From now on through this one.
    pub(crate) fn ask_through(&self, client: &Client) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
    }
}

impl Members for Lookup {
    fn of<'a>(&'a self, context_key: &'a str) -> AskedMembers<'a> {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match client {
                Some(client) => client.big_segment_membership(context_key).await,
                None => (None, BigSegmentsStatus::NotConfigured),
            }
        })
    }
}
