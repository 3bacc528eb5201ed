//! Every live environment, and how they keep up with the change log.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sqlx::SqliteConnection;

use super::{About, Audience, LiveEnvironment, Update};
use crate::SharedApp;
use crate::auth::secret;
use crate::store::change_log::{self, ItemKind, LoggedChange};
use crate::store::environment::{self, Environment};
use crate::store::{EnvironmentId, Store, StoreError, flag, project, segment};

/// Every environment as it is now.
#[derive(Debug)]
pub struct LiveEnvironments {
    store: Store,
    table: ArcSwap<Table>,
    /// One catches up at a time, so that updates are applied in order.
    catching_up: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<EnvironmentId, Arc<LiveEnvironment>>,
    /// By the SHA-256 of the key, so that the time of a look-up says nothing about keys.
    by_sdk_key: HashMap<String, Arc<LiveEnvironment>>,
    /// In the same way.
    by_mobile_key: HashMap<String, Arc<LiveEnvironment>>,
    /// These are public.
    by_client_side_id: HashMap<String, Arc<LiveEnvironment>>,
}

impl LiveEnvironments {
    /// Loads every environment.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let table = ArcSwap::from_pointee(Table::default());
        let live = Self { store: store.clone(), table, catching_up: tokio::sync::Mutex::default() };
        live.catch_up().await?;
        Ok(live)
    }

    /// The environment with this SDK key.
    pub fn by_sdk_key(&self, sdk_key: &str) -> Option<Arc<LiveEnvironment>> {
        self.table.load().by_sdk_key.get(&secret::hash(sdk_key)).cloned()
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

    /// All of them, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<LiveEnvironment>> {
        let mut all: Vec<_> = self.table.load().by_id.values().cloned().collect();
        all.sort_by_key(|live| live.id());
        all
    }

    /// Takes over everything that was committed before the call. Whoever wrote calls it, so that they
    /// read afterwards what they wrote.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let _turn = self.catching_up.lock().await;
        let mut snapshot = self.store.snapshot().await?;
        let known = self.table.load_full();
        let mut by_id = HashMap::new();
        let mut renewed = false;
        let mut described = Vec::new();
        for head in environment::heads(&mut snapshot).await? {
            // The id of one that was deleted may have been given to another since.
            let is_it = |live: &&Arc<LiveEnvironment>| live.about.load().environment.lineage == head.lineage;
            let live = match known.by_id.get(&head.id).filter(is_it) {
                Some(live) => live.clone(),
                None => {
                    renewed = true;
                    Arc::new(load_one(&mut snapshot, head.id).await?)
                }
            };
            if live.about.load().environment.version != head.version {
                described.push((live.clone(), about(&mut snapshot, head.id).await?));
            }
            let sequence = live.sequence();
            if sequence < head.sequence {
                let updates = updates(&mut snapshot, head.id, sequence).await?;
                live.apply(updates, head.sequence);
            }
            by_id.insert(head.id, live);
        }
        // From here on nothing waits and nothing fails: whoever called may give up at any await, and keys
        // that are said to be old must not be found for ever.
        renewed |= !described.is_empty() || by_id.len() != known.by_id.len();
        let mut sent_away: Vec<(Arc<LiveEnvironment>, Audience)> = Vec::new();
        for (live, about) in described {
            let audiences = live.describe(about);
            sent_away.extend(audiences.into_iter().map(|audience| (live.clone(), audience)));
        }
        let remains = |(id, live): &(&EnvironmentId, &Arc<LiveEnvironment>)| {
            by_id.get(*id).is_some_and(|now| Arc::ptr_eq(now, live))
        };
        for (_, gone) in known.by_id.iter().filter(|known| !remains(known)) {
            sent_away.extend(Audience::ALL.map(|audience| (gone.clone(), audience)));
        }
        if renewed {
            self.table.store(Arc::new(Table::of(by_id)));
        }
        // Last: whoever comes by an old key by now is not found.
        for (live, audience) in sent_away {
            live.send_away(audience);
        }
        Ok(())
    }
}

impl Table {
    fn of(by_id: HashMap<EnvironmentId, Arc<LiveEnvironment>>) -> Self {
        let by = |credential: fn(&Environment) -> String| {
            by_id.values().map(|live| (credential(&live.about.load().environment), live.clone())).collect()
        };
        Self {
            by_sdk_key: by(|environment| secret::hash(&environment.sdk_key)),
            by_mobile_key: by(|environment| secret::hash(&environment.mobile_key)),
            by_client_side_id: by(|environment| environment.client_side_id.clone()),
            by_id,
        }
    }
}

/// Follows the change log until the service stops.
pub async fn follow(app: SharedApp) {
    let mut commits = app.store.commits();
    loop {
        tokio::select! {
            _ = commits.changed() => {}
            () = tokio::time::sleep(app.config.change_log_poll) => {}
            () = app.stopping.cancelled() => return,
        }
        if let Err(error) = app.live.catch_up().await {
            tracing::error!(error = %crate::error::chain(&error), "could not follow the change log; trying again");
            tokio::time::sleep(app.config.change_log_poll).await;
        }
    }
}

async fn load_one(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
) -> Result<LiveEnvironment, StoreError> {
    let flags = flag::in_environment(connection, id).await?;
    let segments = segment::in_environment(connection, id).await?;
    Ok(LiveEnvironment::new(
        about(connection, id).await?,
        flags.iter().map(|(row, targeting)| flag::as_sdk(row, targeting)).collect(),
        segments.into_iter().map(|row| row.segment).collect(),
    ))
}

async fn about(connection: &mut SqliteConnection, id: EnvironmentId) -> Result<About, StoreError> {
    let environment: Environment =
        environment::by_id(connection, id).await?.ok_or(StoreError::Statement(sqlx::Error::RowNotFound))?;
    let project = project::by_id(connection, environment.project_id)
        .await?
        .ok_or(StoreError::Statement(sqlx::Error::RowNotFound))?;
    Ok(About { project, environment })
}

async fn updates(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
    since: u64,
) -> Result<Vec<Update>, StoreError> {
    let mut updates = Vec::new();
    for change in change_log::since(connection, id, since).await? {
        updates.push(update(connection, id, change).await?);
    }
    Ok(updates)
}

async fn update(
    connection: &mut SqliteConnection,
    id: EnvironmentId,
    change: LoggedChange,
) -> Result<Update, StoreError> {
    let LoggedChange { sequence, kind, key } = change;
    let found = match kind {
        ItemKind::Flag => flag::one_in_environment(connection, id, &key)
            .await?
            .map(|(row, targeting)| Update::Flag(Box::new(flag::as_sdk(&row, &targeting)))),
        ItemKind::Segment => {
            segment::by_key(connection, id, &key).await?.map(|row| Update::Segment(Box::new(row.segment)))
        }
    };
    Ok(found.unwrap_or(Update::Deleted { kind, key, version: sequence }))
}
