//! Flags that a test sets as it goes.

mod flag;
mod rule;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagstaff_eval::model::{Flag, FlagData, Segment};
use flagstaff_wire::stream::ItemKind;

pub use flag::{FlagBuilder, VariationChoice};
pub use rule::FlagRuleBuilder;

use super::custom::{DataSource, DataSourceUpdates};
use super::turn::Turn;
use crate::fork;

/// Flags that a test sets as it goes, for one client or for many: see
/// [`Config::data_source`](crate::Config::data_source). Clones are the same flags.
///
/// A change is in force in every client when the call that makes it returns.
///
/// ```
/// use std::time::Duration;
/// use flagstaff_sdk::{Client, Config, Context, TestData};
///
/// let flags = TestData::new();
/// flags.update(flags.flag("new-menu").variation_for_all(false).variation_for_user("user-1", true));
/// let config = Config::new("sdk-any").data_source(flags.clone()).send_events(false);
/// let client = Client::start(config)?;
/// client.wait_until_ready(Duration::from_secs(5));
///
/// let context = Context::from_key("user-1")?;
/// assert!(client.variation("new-menu", &context, false));
/// flags.update(flags.flag("new-menu").on(false));
/// assert!(!client.variation("new-menu", &context, true));
/// # client.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct TestData {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Whoever changes something, or begins to tell a client, has its turn until all clients are told.
    turn: Turn,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// As last given, for whoever changes one.
    builders: HashMap<String, FlagBuilder>,
    /// What is in force, tombstones included.
    flags: HashMap<String, Flag>,
    segments: HashMap<String, Segment>,
    clients: Vec<DataSourceUpdates>,
}

impl TestData {
    /// No flags yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder of a flag: as it was last given to [`TestData::update`], or else a new one that is on and
    /// serves true to everybody, and false when it is off.
    pub fn flag(&self, key: &str) -> FlagBuilder {
        let known = self.with(|state| state.builders.get(key).cloned());
        known.unwrap_or_else(|| FlagBuilder::new(key))
    }

    /// Puts a flag in force.
    pub fn update(&self, flag: FlagBuilder) -> &Self {
        let _turn = self.inner.turn.take();
        let model = flag.to_model();
        self.with(|state| state.builders.insert(flag.key().to_owned(), flag));
        self.put_flag(model);
        self
    }

    /// Deletes a flag.
    pub fn delete(&self, key: &str) -> &Self {
        let _turn = self.inner.turn.take();
        self.with(|state| state.builders.remove(key));
        self.put_flag(Flag { key: key.to_owned(), deleted: true, ..Flag::default() });
        self
    }

    /// Puts a flag in force that the builder cannot make; its version is raised if it has to be.
    /// [`TestData::flag`] does not know it.
    ///
    /// ```
    /// # use flagstaff_sdk::TestData;
    /// # let flags = TestData::new();
    /// let flag = serde_json::json!({"key": "rows", "on": false, "offVariation": 0, "variations": [20]});
    /// flags.use_preconfigured_flag(serde_json::from_value(flag)?);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn use_preconfigured_flag(&self, flag: Flag) -> &Self {
        let _turn = self.inner.turn.take();
        self.with(|state| state.builders.remove(&flag.key));
        self.put_flag(flag);
        self
    }

    /// Puts a segment in force; its version is raised if it has to be.
    pub fn use_preconfigured_segment(&self, mut segment: Segment) -> &Self {
        let _turn = self.inner.turn.take();
        let clients = self.with(|state| {
            let known = state.segments.get(&segment.key).map_or(0, |known| known.version);
            segment.version = segment.version.max(known.saturating_add(1));
            state.segments.insert(segment.key.clone(), segment.clone());
            state.clients()
        });
        clients.iter().for_each(|client| client.upsert_segment(segment.clone()));
        self
    }

    /// Deletes a segment.
    pub fn delete_segment(&self, key: &str) -> &Self {
        self.use_preconfigured_segment(Segment { key: key.to_owned(), deleted: true, ..Segment::default() })
    }

    /// Tells all clients that something is wrong with where flags come from, to test what a program
    /// makes of that; or, with none, that all is well again.
    pub fn update_status(&self, error: Option<(crate::DataSourceErrorKind, &str)>) -> &Self {
        let _turn = self.inner.turn.take();
        for client in self.with(State::clients) {
            match error {
                Some((kind, message)) => client.interrupted(kind, message),
                None => client.valid(),
            }
        }
        self
    }

    /// It is the caller's turn.
    fn put_flag(&self, mut flag: Flag) {
        let clients = self.with(|state| {
            let known = state.flags.get(&flag.key).map_or(0, |known| known.version);
            flag.version = flag.version.max(known.saturating_add(1));
            state.flags.insert(flag.key.clone(), flag.clone());
            state.clients()
        });
        for client in clients {
            if flag.deleted {
                client.delete(ItemKind::Flag, &flag.key, flag.version);
            } else {
                client.upsert_flag(flag.clone());
            }
        }
    }

    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let _unforked = fork::guard();
        work(&mut self.lock())
    }

    /// The caller holds a fork guard.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Those who are still there.
    fn clients(&mut self) -> Vec<DataSourceUpdates> {
        self.clients.retain(|client| !client.is_stopped());
        self.clients.clone()
    }

    fn data(&self) -> FlagData {
        let flags = self.flags.iter().map(|(key, flag)| (key.clone(), flag.clone()));
        let segments = self.segments.iter().map(|(key, segment)| (key.clone(), segment.clone()));
        FlagData { flags: flags.collect(), segments: segments.collect() }
    }
}

impl DataSource for TestData {
    fn name(&self) -> &str {
        "test data"
    }

    fn start(&self, updates: DataSourceUpdates) {
        let _turn = self.inner.turn.take();
        let data = self.with(|state| {
            // In a child process there may be the handle of the parent's.
            state.clients.retain(|client| !client.tells_the_same(&updates));
            state.clients.push(updates.clone());
            state.data()
        });
        updates.replace(data);
    }

    fn stop(&self, updates: &DataSourceUpdates) {
        self.with(|state| state.clients.retain(|client| !client.tells_the_same(updates)));
    }
}

impl fmt::Debug for TestData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestData").finish_non_exhaustive()
    }
}
