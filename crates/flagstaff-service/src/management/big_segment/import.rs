//! Files of keys: all of them are in then, and with [`Mode::Replace`] nobody else.

use std::time::{Duration, Instant};

use flagstaff_wire::big_segments::ContextHash;

use super::{BATCH, Done, Place, Step, apply, begin, check_key, check_place, entry, publish};
use crate::auth::{Action, Actor};
use crate::management::ChangeError;
use crate::store::audit::{self, AuditEntry};
use crate::store::big_segment::import::{self as rows, Status};
use crate::store::big_segment::member::{self, List};
use crate::{App, SharedApp, now_ms};

/// An import of which nothing was heard for so long went with its process.
const SILENT: Duration = Duration::from_secs(120);
/// So often something is heard of it, however slowly its file comes.
const HEARD_OF: Duration = Duration::from_secs(30);

/// What becomes of those whom the file does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They stay.
    #[default]
    Merge,
    /// They go.
    Replace,
}

impl Mode {
    /// As the APIs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Replace => "replace",
        }
    }
}

/// A file whose keys are taken, one after the other.
#[derive(Debug)]
pub struct Import {
    app: SharedApp,
    actor: Actor,
    place: Place,
    id: i64,
    public_id: String,
    filling: i64,
    batch: Vec<ContextHash>,
    written: Instant,
    done: Done,
}

impl Import {
    /// Begins. One file at a time.
    pub async fn begin(app: &SharedApp, actor: &Actor, place: Place) -> Result<Self, ChangeError> {
        actor.may(Action::ChangeFlags)?;
        let now = now_ms();
        let mut write = app.store.write().await?;
        let filling = begin(&mut write, &place, None).await?;
        if rows::goes_on(&mut write, filling.id, now - SILENT.as_millis() as i64).await? {
            return Err(ChangeError::ImportGoesOn { key: place.segment_key });
        }
        let public_id = uuid::Uuid::new_v4().to_string();
        let id = rows::begin(&mut write, &public_id, filling.id, now).await?;
        write.commit().await?;
        let (app, actor) = (app.clone(), actor.clone());
        let (batch, written, done) = (Vec::with_capacity(BATCH), Instant::now(), Done::default());
        Ok(Self { app, actor, place, id, public_id, filling: filling.id, batch, written, done })
    }

    /// Takes a key that stands at `at` of the file.
    pub async fn take(&mut self, at: &str, key: &str) -> Result<(), ChangeError> {
        check_key(at, key)?;
        self.batch.push(ContextHash::of(key));
        if self.batch.len() == BATCH || self.written.elapsed() > HEARD_OF {
            return self.write_batch().await;
        }
        Ok(())
    }

    /// Ends: the file was read whole. Gives the import's id.
    pub async fn complete(mut self, mode: Mode, file_name: &str) -> Result<String, ChangeError> {
        self.write_batch().await?;
        if mode == Mode::Replace {
            self.remove_others().await?;
        }
        self.end(Status::Complete, mode, file_name).await?;
        Ok(self.public_id)
    }

    /// Ends, because of what was wrong with the file. What was taken stays.
    pub async fn stop(self, mode: Mode, file_name: &str) -> Result<(), ChangeError> {
        self.end(Status::Stopped, mode, file_name).await
    }

    async fn write_batch(&mut self) -> Result<(), ChangeError> {
        let mut contexts = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        contexts.sort_unstable();
        contexts.dedup();
        if !contexts.is_empty() {
            self.write(Step { list: List::Included, comes: true, contexts }).await?;
        }
        Ok(())
    }

    async fn remove_others(&mut self) -> Result<(), ChangeError> {
        for list in List::BOTH {
            let mut after = None;
            loop {
                let mut reading = self.app.store.read().await?;
                let others =
                    member::not_named(&mut reading, self.filling, list, self.id, after, BATCH).await?;
                drop(reading);
                let Some(last) = others.last() else { break };
                after = Some(*last);
                self.write(Step { list, comes: false, contexts: others }).await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, step: Step) -> Result<(), ChangeError> {
        let mut write = self.app.store.write().await?;
        let filling = begin(&mut write, &self.place, None).await?;
        let is_ours = rows::touch(&mut write, self.id, now_ms()).await?;
        if filling.id != self.filling || !is_ours {
            // Deleted meanwhile, and perhaps made again; or this took so long that another began.
            return Err(ChangeError::ImportGoesOn { key: self.place.segment_key.clone() });
        }
        let done = apply(&mut write, &filling, std::slice::from_ref(&step), self.id).await?;
        if step.comes {
            member::mark(&mut write, filling.id, &step.contexts, self.id).await?;
        }
        write.commit().await?;
        (self.written, self.done) = (Instant::now(), self.done.and(done));
        Ok(())
    }

    async fn end(&self, status: Status, mode: Mode, file_name: &str) -> Result<(), ChangeError> {
        let mut write = self.app.store.write().await?;
        rows::end(&mut write, self.id, status, mode.as_str(), file_name).await?;
        if self.done != Done::default() {
            let entry = AuditEntry { action: "import", after: Some(self.done.shown()), ..entry(&self.place) };
            audit::append(&mut write, &self.actor, now_ms(), entry).await?;
        }
        write.commit().await?;
        publish(&self.app).await;
        Ok(())
    }
}

/// Reads what became of an import.
pub async fn get(app: &App, place: &Place, public_id: &str) -> Result<rows::Import, ChangeError> {
    let mut snapshot = app.store.snapshot().await?;
    let (environment, _) = check_place(&mut snapshot, place, None).await?;
    let found = rows::by_public_id(&mut snapshot, environment, &place.segment_key, public_id).await?;
    let mut found = found.ok_or_else(|| ChangeError::Unknown {
        kind: "import",
        key: public_id.to_owned(),
        container: format!("segment `{}`", place.segment_key),
    })?;
    if found.status == Status::InProgress && found.touched_at < now_ms() - SILENT.as_millis() as i64 {
        found.status = Status::Stopped;
    }
    Ok(found)
}
