//! Every live environment, by what SDKs come with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::looks::Looks;
use super::standing::SharedStanding;
use super::{About, Audience, Leaving, LiveEnvironment, Moment};
use crate::auth::secret;
use crate::now_ms;
use crate::store::EnvironmentId;
use crate::store::environment::{Environment, Head};

/// Every environment as it is now.
#[derive(Debug, Default)]
pub struct LiveEnvironments {
    table: ArcSwap<Table>,
    changed: watch::Sender<()>,
    pub(super) looks: Looks,
    pub(super) standing: SharedStanding,
    /// There may be more than those that are known yet.
    is_incomplete: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<EnvironmentId, Arc<LiveEnvironment>>,
    /// By the SHA-256 of the key, so that the time of a look-up says nothing about keys.
    by_sdk_key: HashMap<String, Arc<LiveEnvironment>>,
    /// Those before them, which count until a time.
    by_old_sdk_key: HashMap<String, (Arc<LiveEnvironment>, i64)>,
    /// In the same way.
    by_mobile_key: HashMap<String, Arc<LiveEnvironment>>,
    /// These are public.
    by_client_side_id: HashMap<String, Arc<LiveEnvironment>>,
}

impl LiveEnvironments {
    /// The environment with this SDK key.
    pub fn by_sdk_key(&self, sdk_key: &str) -> Option<Arc<LiveEnvironment>> {
        let (table, hash) = (self.table.load(), secret::hash(sdk_key));
        let old = || table.by_old_sdk_key.get(&hash).filter(|(_, until)| now_ms() < *until);
        table.by_sdk_key.get(&hash).or_else(|| old().map(|(live, _)| live)).cloned()
    }

    /// The environment with this mobile key.
    pub fn by_mobile_key(&self, mobile_key: &str) -> Option<Arc<LiveEnvironment>> {
        self.table.load().by_mobile_key.get(&secret::hash(mobile_key)).cloned()
    }

    /// The environment with this client-side ID.
    pub fn by_client_side_id(&self, id: &str) -> Option<Arc<LiveEnvironment>> {
        self.table.load().by_client_side_id.get(id).cloned()
    }

    /// The environment with this id.
    pub fn by_id(&self, id: EnvironmentId) -> Option<Arc<LiveEnvironment>> {
        self.table.load().by_id.get(&id).cloned()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.load().by_id.len()
    }

    /// Whether one of them is as this says.
    pub(super) fn is_at(&self, head: &Head) -> bool {
        self.table.load().by_id.get(&head.id).is_some_and(|live| {
            let environment = &live.about.load().environment;
            environment.lineage == head.lineage
                && environment.version == head.version
                && live.moment() == Moment { sequence: head.sequence, stamp: head.stamp }
        })
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<LiveEnvironment>> {
        let mut all: Vec<_> = self.table.load().by_id.values().cloned().collect();
        all.sort_by_key(|live| live.id());
        all
    }

    /// Whether there may be others than those that are known yet: whoever comes by an unknown key is told to come
    /// again, and not that it is wrong.
    pub fn expect_more(&self, more: bool) {
        self.is_incomplete.store(more, Ordering::Release);
    }

    /// Whether there may be others than those that are known yet.
    pub fn expects_more(&self) -> bool {
        self.is_incomplete.load(Ordering::Acquire)
    }

    /// Tells when there are others, or something else is true about them.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// From now on there are these and no others, and about some of them something else is true than before.
    /// Whoever came by what does not count any more is sent away. One calls this at a time.
    pub fn replace(
        &self,
        environments: impl IntoIterator<Item = Arc<LiveEnvironment>>,
        described: Vec<(Arc<LiveEnvironment>, About)>,
    ) {
        let by_id: HashMap<_, _> = environments.into_iter().map(|live| (live.id(), live)).collect();
        let known = self.table.load_full();
        let is_in = |table: &HashMap<EnvironmentId, Arc<LiveEnvironment>>, live: &Arc<LiveEnvironment>| {
            table.get(&live.id()).is_some_and(|other| Arc::ptr_eq(other, live))
        };
        let renewed = !described.is_empty()
            || by_id.len() != known.by_id.len()
            || by_id.values().any(|live| !is_in(&known.by_id, live));
        let mut leaving: Vec<(Arc<LiveEnvironment>, Leaving)> = Vec::new();
        for (live, about) in described {
            leaving.extend(live.describe(about).into_iter().map(|who| (live.clone(), who)));
        }
        for gone in known.by_id.values().filter(|live| !is_in(&by_id, live)) {
            leaving.extend(Audience::ALL.map(|audience| (gone.clone(), Leaving::All(audience))));
        }
        if renewed {
            self.table.store(Arc::new(Table::of(by_id)));
        }
        // Last: whoever comes by an old key by now is not found.
        for (live, who) in leaving {
            live.leave(who);
        }
        if renewed {
            self.changed.send_replace(());
        }
    }
}

impl Table {
    fn of(by_id: HashMap<EnvironmentId, Arc<LiveEnvironment>>) -> Self {
        // In a relay not every environment has all of them.
        let by = |credential: fn(&Environment) -> &str, known_by: fn(&str) -> String| {
            let found = |live: &Arc<LiveEnvironment>| {
                let about = live.about.load();
                let credential = credential(&about.environment);
                (!credential.is_empty()).then(|| (known_by(credential), live.clone()))
            };
            by_id.values().filter_map(found).collect()
        };
        let old_sdk_key = |live: &Arc<LiveEnvironment>| {
            let old = live.about.load().environment.expiring_sdk_key.clone()?;
            Some((secret::hash(&old.key), (live.clone(), old.until)))
        };
        Self {
            by_old_sdk_key: by_id.values().filter_map(old_sdk_key).collect(),
            by_sdk_key: by(|environment| &environment.sdk_key, secret::hash),
            by_mobile_key: by(|environment| &environment.mobile_key, secret::hash),
            by_client_side_id: by(|environment| &environment.client_side_id, str::to_owned),
            by_id,
        }
    }
}
