//! Big segments in Redis: for each context a set of segments it is in, and one of those it is not in.
//!
//! Source: the protocol's table of big segment stores.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagstaff_eval::big_segments::Membership;
use flagstaff_wire::big_segments::{ListChanges, Patch};
use redis::{Connection, Pipeline, RedisResult, cmd, pipe};

use super::Redis;
use crate::big_segments::{Applied, BigSegmentCopy, BigSegmentStore};
use crate::data_store::StoreError;
use crate::integrations::contention::{Try, until_settled};

impl BigSegmentStore for Redis {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        let key = self.key("big_segments_synchronized_on");
        let milliseconds: Option<u64> = self.ask(
            || "ask Redis how old big segments are".to_owned(),
            |connection| cmd("GET").arg(&key).query(connection),
        )?;
        Ok(milliseconds.map(|milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds)))
    }

    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        let mut both = pipe();
        both.cmd("SMEMBERS").arg(self.key(&format!("big_segment_include:{context_hash}")));
        both.cmd("SMEMBERS").arg(self.key(&format!("big_segment_exclude:{context_hash}")));
        let (included, excluded): (Vec<String>, Vec<String>) = self.ask(
            || "ask Redis for the big segments of a context".to_owned(),
            |connection| both.query(connection),
        )?;
        if included.is_empty() && excluded.is_empty() {
            return Ok(None);
        }
        Ok(Some(Membership::new(included.iter().map(String::as_str), excluded.iter().map(String::as_str))))
    }
}

impl BigSegmentCopy for Redis {
    fn cursor(&self) -> Result<String, StoreError> {
        let key = self.key(CURSOR);
        let cursor: Option<String> = self.ask(
            || "ask Redis up to where it has big segments".to_owned(),
            |connection| cmd("GET").arg(&key).query(connection),
        )?;
        Ok(cursor.unwrap_or_default())
    }

    fn apply(&self, patch: &Patch, expected: &str) -> Result<Applied, StoreError> {
        let attempted = || format!("write members of `{}` to Redis", patch.segment_id);
        let written = until_settled(
            || format!("{} ({})", attempted(), self.address()),
            || self.ask(attempted, |connection| self.try_apply(connection, patch, expected)),
        )?;
        Ok(if written { Applied::Written } else { Applied::CursorIs(self.cursor()?) })
    }

    fn set_last_up_to_date(&self, time: SystemTime) -> Result<(), StoreError> {
        let key = self.key("big_segments_synchronized_on");
        let milliseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.ask(
            || "write to Redis how old big segments are".to_owned(),
            |connection| cmd("SET").arg(&key).arg(milliseconds).query(connection),
        )
    }
}

/// Up to where the members are known.
const CURSOR: &str = "big_segments_cursor";
/// What every writer touches, so that two notice each other.
const LOCK: &str = "big_segments_lock";

impl Redis {
    fn try_apply(&self, connection: &mut Connection, patch: &Patch, expected: &str) -> RedisResult<Try> {
        let (cursor, lock) = (self.key(CURSOR), self.key(LOCK));
        cmd("WATCH").arg(&cursor).arg(&lock).query::<()>(connection)?;
        let known: Option<String> = cmd("GET").arg(&cursor).query(connection)?;
        if known.unwrap_or_default() != expected {
            cmd("UNWATCH").query::<()>(connection)?;
            return Ok(Try::Outdated);
        }
        let mut write = pipe();
        write.atomic();
        write.cmd("SET").arg(&lock).arg("").ignore();
        self.change_list(&mut write, "include", &patch.segment_id, &patch.changes.included);
        self.change_list(&mut write, "exclude", &patch.segment_id, &patch.changes.excluded);
        write.cmd("SET").arg(&cursor).arg(&patch.version);
        let written: Option<(String,)> = write.query(connection)?;
        Ok(if written.is_some() { Try::Written } else { Try::Disturbed })
    }

    fn change_list(&self, write: &mut Pipeline, list: &str, segment_id: &str, changes: &ListChanges) {
        for (command, contexts) in [("SREM", &changes.remove), ("SADD", &changes.add)] {
            for context in contexts {
                let set = self.key(&format!("big_segment_{list}:{context}"));
                write.cmd(command).arg(set).arg(segment_id).ignore();
            }
        }
    }
}
