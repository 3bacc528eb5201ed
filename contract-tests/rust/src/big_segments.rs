//! A big-segment store that lives in the harness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagstaff_sdk::{BigSegmentStore, BigSegments, Membership, StoreError};
use serde_json::{Value, json};

use crate::callbacks::Caller;
use crate::parameters::BigSegmentsConfig;

pub(crate) fn big_segments(config: &BigSegmentsConfig, caller: &Caller) -> BigSegments {
    let store = HarnessStore { uri: config.callback_uri.clone(), caller: caller.clone() };
    let mut options = BigSegments::new(store);
    if let Some(contexts) = config.user_cache_size {
        options = options.context_cache_size(contexts);
    }
    if let Some(ms) = config.user_cache_time_ms {
        options = options.context_cache_time(Duration::from_millis(ms));
    }
    if let Some(ms) = config.status_poll_interval_ms {
        options = options.status_poll_interval(Duration::from_millis(ms));
    }
    if let Some(ms) = config.stale_after_ms {
        options = options.stale_after(Duration::from_millis(ms));
    }
    options
}

struct HarnessStore {
    uri: String,
    caller: Caller,
}

impl HarnessStore {
    fn ask(&self, what: &str, body: String) -> Result<Value, StoreError> {
        let answer = self.caller.post(&format!("{}/{what}", self.uri), body).map_err(StoreError::new)?;
        if !(200..300).contains(&answer.status) {
            return Err(StoreError::new(format!("the harness answered {}: {}", answer.status, answer.body)));
        }
        serde_json::from_str(&answer.body)
            .map_err(|error| StoreError::because("the harness's answer cannot be read", error))
    }
}

impl BigSegmentStore for HarnessStore {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        let metadata = self.ask("getMetadata", String::new())?;
        let ms = metadata["lastUpToDate"].as_f64().filter(|ms| *ms > 0.0);
        Ok(ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms as u64)))
    }

    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        let answer = self.ask("getMembership", json!({"contextHash": context_hash}).to_string())?;
        let Some(values) = answer["values"].as_object() else { return Ok(None) };
        let those = |wanted: bool| {
            values
                .iter()
                .filter(move |(_, value)| value.as_bool() == Some(wanted))
                .map(|(key, _)| key.as_str())
        };
        Ok(Some(Membership::new(those(true), those(false))))
    }
}
