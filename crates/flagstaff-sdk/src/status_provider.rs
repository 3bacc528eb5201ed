//! A status that can be asked for, and listened to.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::listeners::{ListenerId, Listeners, News};

/// A status that can be asked for, and listened to: see
/// [`Client::data_source_status_provider`], [`Client::data_store_status_provider`] and
/// [`Client::big_segment_store_status_provider`].
pub struct StatusProvider<'c, T> {
    client: &'c Client,
    listeners: &'c Arc<Listeners<T>>,
    status: fn(&Client) -> T,
}

#[allow(private_bounds)]
impl<'c, T: News> StatusProvider<'c, T> {
    pub(crate) fn new(
        client: &'c Client,
        listeners: &'c Arc<Listeners<T>>,
        status: fn(&Client) -> T,
    ) -> Self {
        Self { client, listeners, status }
    }

    pub(crate) fn client(&self) -> &'c Client {
        self.client
    }

    /// The status now.
    pub fn status(&self) -> T {
        (self.status)(self.client)
    }

    /// Has `listener` called at each change of the status, on a thread of the client's own, until it is
    /// removed or the client is closed; the last it hears is what comes of closing. It may call the
    /// client. A panic in it is logged.
    pub fn add_listener(&self, listener: impl Fn(&T) + Send + Sync + 'static) -> ListenerId {
        self.listeners.add(listener)
    }

    /// Has a listener called no more. False if there is none, or not any more.
    pub fn remove_listener(&self, id: ListenerId) -> bool {
        self.listeners.remove(id)
    }
}

impl<T> fmt::Debug for StatusProvider<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StatusProvider").finish_non_exhaustive()
    }
}
