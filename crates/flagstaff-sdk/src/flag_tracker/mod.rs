//! Listeners that are told when a flag changes, or its value for one context.
//!
//! A change is the data set before and the one after, both of which never change. What follows from
//! them is found out on the callback thread, and only if somebody listens.

mod affected;

use std::sync::{Arc, OnceLock};

use flagstaff_eval::big_segments::BigSegments;
use flagstaff_eval::{Context, DataSet, PreparedFlag, Value, evaluate_with_big_segments};
use foldhash::HashSet;

use crate::big_segments::Asking;
use crate::callbacks::contained;
use crate::client::Client;
use crate::context::EventContext;
use crate::listeners::{ListenerId, News};
use affected::affected_flags;

/// A flag may serve something else than before: it was added, changed or deleted, or a flag or segment
/// that it depends on was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlagChange {
    /// Which flag.
    pub key: String,
}

/// A flag serves another value to a context than before.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FlagValueChange {
    /// Which flag.
    pub key: String,
    /// What it served; the default given, if nothing or null.
    pub old_value: Value,
    /// What it serves now; the default given, if nothing or null.
    pub new_value: Value,
}

/// Tells when flags change: see [`Client::flag_tracker`].
///
/// Listeners are called one after the other on a thread of the client's own, until they are removed or
/// the client is closed. They may call the client. A panic in one is logged. The first flags that come
/// are a change too, of each of them.
#[derive(Clone, Copy, Debug)]
pub struct FlagTracker<'c> {
    client: &'c Client,
}

impl Client {
    /// Tells when flags change.
    pub fn flag_tracker(&self) -> FlagTracker<'_> {
        FlagTracker { client: self }
    }
}

impl FlagTracker<'_> {
    /// Has `listener` called for each flag that changes.
    ///
    /// ```
    /// # use flagstaff_sdk::{Client, Config};
    /// # let client = Client::start(Config::new("").offline(true))?;
    /// let id = client.flag_tracker().add_listener(|change| println!("`{}` changed", change.key));
    /// assert!(client.flag_tracker().remove_listener(id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_listener(&self, listener: impl Fn(&FlagChange) + Send + Sync + 'static) -> ListenerId {
        let shared = self.client.shared();
        let log = shared.log.clone();
        shared.flag_listeners.add(move |change: &DataChange| {
            for key in change.affected() {
                let change = FlagChange { key: key.clone() };
                // The next flag is told of, whatever becomes of this call.
                contained(&log, WHAT, || listener(&change));
            }
        })
    }

    /// Has `listener` called each time that the value of a flag for a context changes. A flag that
    /// there is not, or that serves null, has the value `default`. These evaluations are not reported.
    ///
    /// ```
    /// # use flagstaff_sdk::{Client, Config, Context};
    /// # let client = Client::start(Config::new("").offline(true))?;
    /// let everybody = Context::from_key("everybody")?;
    /// client.flag_tracker().add_value_change_listener("log-level", &everybody, "info", |change| {
    ///     println!("from {} to {}", change.old_value, change.new_value);
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_value_change_listener<C>(
        &self,
        flag_key: impl Into<String>,
        context: &C,
        default: impl Into<Value>,
        listener: impl Fn(&FlagValueChange) + Send + Sync + 'static,
    ) -> ListenerId
    where
        C: EventContext + ?Sized,
    {
        let shared = self.client.shared();
        let (key, default) = (flag_key.into(), default.into());
        let context = context.to_context();
        let big_segments = shared.big_segments.clone();
        shared.flag_listeners.add(move |change: &DataChange| {
            if !change.affected().contains(&key) {
                return;
            }
            let asking = big_segments.as_ref().map(Asking::new);
            let asked = asking.as_ref().map(|asking| asking as &dyn BigSegments);
            let old = value_in(&change.before, asked, &key, &context).unwrap_or(&default);
            let new = value_in(&change.after, asked, &key, &context).unwrap_or(&default);
            if old != new {
                let (old_value, new_value) = (old.clone(), new.clone());
                listener(&FlagValueChange { key: key.clone(), old_value, new_value });
            }
        })
    }

    /// Has a listener called no more. False if there is none, or not any more.
    pub fn remove_listener(&self, id: ListenerId) -> bool {
        self.client.shared().flag_listeners.remove(id)
    }
}

/// Whose code it is, for the log.
pub(crate) const WHAT: &str = "a flag change listener";

/// One data set took the place of another.
pub(crate) struct DataChange {
    before: Arc<DataSet>,
    after: Arc<DataSet>,
    /// How many items the two do not share.
    weight: usize,
    affected: OnceLock<HashSet<String>>,
}

impl DataChange {
    pub(crate) fn new(before: &Arc<DataSet>, after: &Arc<DataSet>) -> Self {
        let weight = if shares_items(before, after) { 1 } else { after.flags().count() };
        Self { before: before.clone(), after: after.clone(), weight, affected: OnceLock::new() }
    }

    /// The keys of the flags it is a change of, found out once for all listeners.
    fn affected(&self) -> &HashSet<String> {
        self.affected.get_or_init(|| affected_flags(&self.before, &self.after))
    }
}

impl News for DataChange {
    fn merge(&mut self, later: Self) {
        *self = Self::new(&self.before, &later.after);
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

/// Whether one data set was made from the other by changing some items, as far as a few of them tell.
fn shares_items(before: &DataSet, after: &DataSet) -> bool {
    const SAMPLE: usize = 8;
    let is_shared =
        |flag: &Arc<PreparedFlag>| before.flag(flag.key()).is_some_and(|old| Arc::ptr_eq(old, flag));
    after.flags().take(SAMPLE).any(is_shared)
}

fn value_in<'d>(
    data: &'d DataSet,
    big_segments: Option<&dyn BigSegments>,
    flag_key: &str,
    context: &Context,
) -> Option<&'d Value> {
    let flag = data.flag(flag_key)?;
    let detail = evaluate_with_big_segments(data, big_segments, flag, context, &mut |_| {});
    detail.variation_index.and(detail.value).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::FlagData;
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_data_sets_weigh_more_than_changes() {
        let whole = || {
            let flags: serde_json::Map<String, Value> =
                (0..500).map(|n| (format!("f{n}"), json!({"key": format!("f{n}"), "version": 1}))).collect();
            let data = json!({"flags": flags, "segments": {}});
            Arc::new(DataSet::from_model(serde_json::from_value::<FlagData>(data).unwrap()))
        };
        let (first, second) = (whole(), whole());
        let flag = serde_json::from_value(json!({"key": "f7", "version": 2})).unwrap();
        let changed = Arc::new(second.with_all(vec![flagstaff_eval::Entry::flag("f7", flag)], Vec::new()));
        assert_eq!(DataChange::new(&first, &second).weight(), 500);
        assert_eq!(DataChange::new(&second, &changed).weight(), 1);
        let mut both = DataChange::new(&first, &second);
        both.merge(DataChange::new(&second, &changed));
        assert_eq!(both.weight(), 500);
        assert_eq!(both.affected().len(), 1, "of the first to the last");
    }
}
