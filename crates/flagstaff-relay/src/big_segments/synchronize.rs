//! One environment's members, kept up to date for as long as it is relayed.
//!
//! First all changes since the database's cursor, then those that a stream brings. Whenever a patch does not
//! follow what the database has, it is brought up to date in the first way again: another relay was quicker, or
//! it was emptied, which is looked for all the time. If upstream cannot go on from there, everything is written
//! from the beginning. Whatever else fails is tried again after ten seconds.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flagstaff_sdk::{Applied, BigSegmentCopy, Client, StoreError};
use flagstaff_service::live_environment::{LiveEnvironment, MembersChanged};
use flagstaff_wire::big_segments::{ContextHash, Patch};
use tokio::time::{Instant, sleep};

use super::state::Watch;
use super::upstream::Source;

/// How often it is looked whether there are big segments by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long after a failure everything is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How often it is looked whether the database still has what was written.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How often it is written that everything is up to date while the stream is connected.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// How often others may write in between while everything is brought up to date.
const MOST_DISTURBED: usize = 1_000;
/// So many changed contexts are named to who listens.
const MOST_NAMED: usize = 20_000;

/// Keeps the members of one environment's big segments up to date.
pub(super) struct Synchronizer {
    /// The environment, for the log.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) database: Arc<dyn BigSegmentCopy>,
    pub(super) live: Arc<LiveEnvironment>,
    /// Remembers what the database says.
    pub(super) client: Client,
    pub(super) watch: Arc<Watch>,
    pub(super) time_factor: u32,
}

/// Why copying stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// Upstream.
    #[error("upstream: {0}")]
    Upstream(String),
    /// The database.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// Others write all the time.
    #[error("other relays wrote to the database at each of {MOST_DISTURBED} tries")]
    Disturbed,
}

impl Synchronizer {
    /// Does so until it is dropped.
    pub(super) async fn run(self) {
        self.until_there_are_any().await;
        let mut is_failing = false;
        loop {
            let Err(error) = self.synchronize(&mut is_failing).await;
            if matches!(error, CopyError::Database(_)) {
                self.watch.unavailable();
            }
            if !std::mem::replace(&mut is_failing, true) {
                let name = &self.name;
                tracing::warn!(
                    "big segments of environment `{name}` are not kept up to date, trying again: {error}"
                );
            }
            sleep(RETRY_AFTER / self.time_factor).await;
        }
    }

    async fn until_there_are_any(&self) {
        let mut looked_at = None;
        loop {
            if let Ok((version, data)) = self.live.evaluable()
                && looked_at.replace(version) != Some(version)
                && data.segments().any(|segment| segment.is_big())
            {
                return;
            }
            sleep(LOOK_AGAIN / self.time_factor).await;
        }
    }

    /// Brings the database up to date and keeps it so.
    async fn synchronize(&self, is_failing: &mut bool) -> Result<Infallible, CopyError> {
        let last = self.ask(|database| database.last_up_to_date()).await?;
        self.watch.answered(last);
        // Whatever upstream does: who could not be told by the database asks again.
        self.live.ask_members_again();
        let mut cursor = self.ask(|database| database.cursor()).await?;
        self.catch_up(&mut cursor).await?;
        let mut stream = self.source.stream(&cursor).await?;
        // What came between the two: not every upstream begins a stream where it is asked to.
        self.catch_up(&mut cursor).await?;
        self.mark().await?;
        if std::mem::take(is_failing) {
            tracing::info!("big segments of environment `{}` are kept up to date again", self.name);
        }
        let mut marked = Instant::now();
        loop {
            let patches = tokio::select! {
                patches = stream.next() => patches?,
                () = sleep(CHECK_EVERY / self.time_factor) => Vec::new(),
            };
            let follows = self.write(patches, &mut cursor, false).await?;
            let at = self.ask(|database| database.cursor()).await?;
            self.live.ask_members_again();
            if !follows || at != cursor {
                self.catch_up(&mut cursor).await?;
            } else if marked.elapsed() < MARK_EVERY / self.time_factor {
                continue;
            }
            self.mark().await?;
            marked = Instant::now();
        }
    }

    /// Writes all changes since the cursor.
    async fn catch_up(&self, cursor: &mut String) -> Result<(), CopyError> {
        *cursor = self.ask(|database| database.cursor()).await?;
        let (mut anew, mut disturbed) = (false, 0);
        loop {
            let before = cursor.clone();
            let page = self.source.page((!anew && !before.is_empty()).then_some(&before)).await?;
            if page.is_empty() {
                return Ok(());
            }
            if self.write(page, cursor, anew).await? {
                if *cursor == before {
                    return Ok(());
                }
                anew = false;
            } else if *cursor == before {
                // Nobody was quicker: upstream does not go on from here.
                if std::mem::replace(&mut anew, true) {
                    let why = "its changes of big segments do not follow each other";
                    return Err(CopyError::Upstream(why.to_owned()));
                }
            } else {
                disturbed += 1;
                if disturbed == MOST_DISTURBED {
                    return Err(CopyError::Disturbed);
                }
            }
        }
    }

    /// Writes patches one after the other. False if one does not follow what the database has, which is the
    /// cursor then. Of patches from the beginning, `anew`, the first follows whatever there is.
    async fn write(&self, patches: Vec<Patch>, cursor: &mut String, anew: bool) -> Result<bool, CopyError> {
        if patches.is_empty() {
            return Ok(true);
        }
        let contexts = named(&patches);
        let mut place = cursor.clone();
        let (written, place) = self
            .ask(move |database| {
                let written = write_all(database, &patches, &mut place, anew);
                Ok((written, place))
            })
            .await?;
        *cursor = place;
        self.client.forget_big_segment_memberships();
        let follows = *written.as_ref().unwrap_or(&false);
        // If not, another relay was quicker, with who knows what.
        self.live.tell_members_changed(if follows { contexts } else { MembersChanged::Many });
        Ok(written?)
    }

    /// Writes that everything is up to date now.
    async fn mark(&self) -> Result<(), CopyError> {
        let now = SystemTime::now();
        self.ask(move |database| database.set_last_up_to_date(now)).await?;
        self.watch.answered(Some(now));
        Ok(())
    }

    /// Asks the database, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn BigSegmentCopy) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, CopyError> {
        let database = self.database.clone();
        match tokio::task::spawn_blocking(move || ask(&*database)).await {
            Ok(answered) => Ok(answered?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn write_all(
    database: &dyn BigSegmentCopy,
    patches: &[Patch],
    cursor: &mut String,
    mut anew: bool,
) -> Result<bool, StoreError> {
    for patch in patches {
        if patch.version == *cursor {
            continue;
        }
        let follows = cursor.is_empty() || patch.previous_version == *cursor;
        if !follows && !std::mem::take(&mut anew) {
            return Ok(false);
        }
        match database.apply(patch, cursor)? {
            Applied::Written => cursor.clone_from(&patch.version),
            // Another relay wrote the same.
            Applied::CursorIs(other) if other == patch.version => *cursor = other,
            Applied::CursorIs(other) => {
                *cursor = other;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whom the patches are about.
fn named(patches: &[Patch]) -> MembersChanged {
    let mut contexts = HashSet::new();
    for context in patches.iter().flat_map(|patch| patch.changes.contexts()) {
        if contexts.len() == MOST_NAMED {
            return MembersChanged::Many;
        }
        contexts.extend(ContextHash::from_base64(context));
    }
    MembersChanged::These(Arc::new(contexts))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use flagstaff_sdk::{BigSegmentStore, Membership};

    use super::*;

    /// A database that is nothing but its cursor, which others move as it is told.
    #[derive(Debug, Default)]
    struct Cursor(Mutex<String>);

    impl BigSegmentStore for Cursor {
        fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
            Ok(None)
        }

        fn membership(&self, _: &str) -> Result<Option<Membership>, StoreError> {
            Ok(None)
        }
    }

    impl BigSegmentCopy for Cursor {
        fn cursor(&self) -> Result<String, StoreError> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn apply(&self, patch: &Patch, expected: &str) -> Result<Applied, StoreError> {
            let mut cursor = self.0.lock().unwrap();
            if *cursor != expected {
                return Ok(Applied::CursorIs(cursor.clone()));
            }
            cursor.clone_from(&patch.version);
            Ok(Applied::Written)
        }

        fn set_last_up_to_date(&self, _: SystemTime) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// What is written of patches from place to place, by one who believes to be at `believed`.
    #[track_caller]
    fn check(
        database_at: &str,
        believed: &str,
        patches: &[(&str, &str)],
        anew: bool,
        expected: (bool, &str),
    ) {
        let database = Cursor(Mutex::new(database_at.to_owned()));
        let patch = |(previous, version): &(&str, &str)| Patch {
            previous_version: (*previous).to_owned(),
            version: (*version).to_owned(),
            ..Patch::default()
        };
        let patches: Vec<_> = patches.iter().map(patch).collect();
        let mut cursor = believed.to_owned();
        let follows = write_all(&database, &patches, &mut cursor, anew).unwrap();
        assert_eq!((follows, &*cursor), expected);
        assert_eq!(*database.0.lock().unwrap(), cursor, "what is believed is what there is");
    }

    #[test]
    fn patches_are_written_where_they_follow_and_nowhere_else() {
        check("", "", &[("", "1"), ("1", "2")], false, (true, "2"));
        check("", "", &[("7", "8")], false, (true, "8"));
        check("2", "2", &[("2", "3")], false, (true, "3"));
        check("2", "2", &[("5", "6")], false, (false, "2"));
        check("2", "2", &[("2", "3"), ("4", "5")], false, (false, "3"));
    }

    #[test]
    fn what_another_relay_wrote_is_not_written_again() {
        check("3", "2", &[("2", "3"), ("3", "4")], false, (true, "4"));
        check("5", "2", &[("2", "3")], false, (false, "5"));
        check("3", "3", &[("2", "3"), ("3", "4")], false, (true, "4"));
    }

    #[test]
    fn a_database_that_was_emptied_gets_no_part() {
        check("", "2", &[("2", "3")], false, (false, ""));
    }

    #[test]
    fn from_the_beginning_everything_follows_whatever_there_is() {
        check("old:9", "old:9", &[("", "1"), ("1", "2")], true, (true, "2"));
        check("old:9", "old:9", &[("", "1"), ("2", "3")], true, (false, "1"));
    }
}
