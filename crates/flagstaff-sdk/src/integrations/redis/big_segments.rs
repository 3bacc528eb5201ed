//! Big segments in Redis: for each context a set of segments it is in, and one of those it is not in.
//!
//! Source: the protocol's table of big segment stores.

use std::time::{Duration, SystemTime};

use flagstaff_eval::big_segments::Membership;
use redis::{cmd, pipe};

use super::Redis;
use crate::big_segments::BigSegmentStore;
use crate::data_store::StoreError;

impl BigSegmentStore for Redis {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        let key = self.key("big_segments_synchronized_on");
        let milliseconds: Option<u64> = self.ask(
            || "ask Redis how old big segments are".to_owned(),
            |connection| cmd("GET").arg(&key).query(connection),
        )?;
        Ok(milliseconds.map(|milliseconds| SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)))
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
