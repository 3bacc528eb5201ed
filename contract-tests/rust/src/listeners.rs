//! Listeners that tell the harness.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use flagstaff_sdk::{Client, ListenerId};
use serde_json::{Value, json};

use crate::callbacks::Caller;
use crate::contexts;
use crate::parameters::{FlagChangeListener, FlagValueChangeListener, UnregisterListener};
use crate::service::Refusal;

/// The listeners of one client, by the names that the harness gave them.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<HashMap<String, ListenerId>>);

impl Listeners {
    pub(crate) fn add(&self, client: &Client, caller: &Caller, wanted: FlagChangeListener) {
        let (caller, name, uri) = (caller.clone(), wanted.listener_id.clone(), wanted.callback_uri);
        let id = client.flag_tracker().add_listener(move |change| {
            tell(&caller, &uri, &json!({"listenerId": name, "flagKey": change.key}));
        });
        self.keep(client, wanted.listener_id, id);
    }

    pub(crate) fn add_for_value(
        &self,
        client: &Client,
        caller: &Caller,
        wanted: FlagValueChangeListener,
    ) -> Result<(), Refusal> {
        let context = contexts::of(wanted.context, wanted.user)?
            .ok_or_else(|| Refusal::Bad("that is no context".to_owned()))?;
        let (caller, name, uri) = (caller.clone(), wanted.listener_id.clone(), wanted.callback_uri);
        let id = client.flag_tracker().add_value_change_listener(
            wanted.flag_key,
            &context,
            wanted.default_value,
            move |change| {
                let news = json!({
                    "listenerId": name, "flagKey": change.key, "oldValue": change.old_value,
                    "newValue": change.new_value,
                });
                tell(&caller, &uri, &news);
            },
        );
        self.keep(client, wanted.listener_id, id);
        Ok(())
    }

    pub(crate) fn remove(&self, client: &Client, wanted: &UnregisterListener) -> Result<(), Refusal> {
        let id = self.lock().remove(&wanted.listener_id);
        match id {
            Some(id) => {
                client.flag_tracker().remove_listener(id);
                Ok(())
            }
            None => Err(Refusal::Bad(format!("there is no listener `{}`", wanted.listener_id))),
        }
    }

    /// A listener of the same name makes way.
    fn keep(&self, client: &Client, name: String, id: ListenerId) {
        let before = self.lock().insert(name, id);
        if let Some(before) = before {
            client.flag_tracker().remove_listener(before);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, ListenerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(caller: &Caller, uri: &str, news: &Value) {
    if let Err(error) = caller.post_json(uri, news) {
        tracing::warn!("the harness was not told of a change: {error}");
    }
}
