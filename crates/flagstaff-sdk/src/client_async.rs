//! What can wait for a database, for async code: the same calls, on any executor.
//!
//! Without a database behind the flags or the big segments the calls in `client` never wait, and
//! async code may use those.

use flagstaff_wire::all_flags::AllFlagsOptions;

use crate::big_segments::Gathered;
use crate::client::{AllFlagsState, Client, question};
use crate::context::EventContext;
use crate::data_store::Unreadable;
use crate::hooks::method::{VARIATION, VARIATION_DETAIL};
use crate::value::{FlagValue, VariationDefault, VariationDetail};

impl Client {
    /// As [`Client::variation`], without keeping the thread while a database is asked.
    pub async fn variation_async<C, D>(&self, key: &str, context: &C, default: D) -> D::Output
    where
        C: EventContext + ?Sized,
        D: VariationDefault,
    {
        let read = self.read_ahead(key).await;
        let gathered = self.gather_ahead(key, context).await;
        let mut question = question::<C, D>(key, context, &default, false);
        question.read = Some(read);
        question.gathered = gathered.as_ref();
        let mut value = None;
        self.answer_in_series(VARIATION, &question, |detail| {
            value = detail.value.and_then(D::Output::from_value);
        });
        drop(question);
        value.unwrap_or_else(|| default.into())
    }

    /// As [`Client::variation_detail`], without keeping the thread while a database is asked.
    pub async fn variation_detail_async<C, D>(
        &self,
        key: &str,
        context: &C,
        default: D,
    ) -> VariationDetail<D::Output>
    where
        C: EventContext + ?Sized,
        D: VariationDefault,
    {
        let read = self.read_ahead(key).await;
        let gathered = self.gather_ahead(key, context).await;
        let mut question = question::<C, D>(key, context, &default, true);
        question.read = Some(read);
        question.gathered = gathered.as_ref();
        let (value, variation_index, reason) = self.answer_in_series(VARIATION_DETAIL, &question, |detail| {
            let value = detail.value.and_then(D::Output::from_value);
            (value, detail.variation_index, detail.reason.into_owned())
        });
        drop(question);
        VariationDetail { value: value.unwrap_or_else(|| default.into()), variation_index, reason }
    }

    /// As [`Client::all_flags_state`], without keeping the thread while a database is asked.
    pub async fn all_flags_state_async<C>(&self, context: &C, options: AllFlagsOptions) -> AllFlagsState
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let read = match &shared.backing {
            Some(backing) if !shared.is_silent() => backing.read_all_async(shared).await,
            _ => Ok(()),
        };
        let gathered = if shared.is_silent() { None } else { Gathered::for_all_flags(shared, context).await };
        self.all_flags_read(read, gathered.as_ref(), context, options)
    }

    /// Asks the database of big segments what the evaluation of a flag will ask, if there is one.
    pub(crate) async fn gather_ahead<C>(&self, key: &str, context: &C) -> Option<Gathered>
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        if shared.is_silent() { None } else { Gathered::for_flag(shared, key, context).await }
    }

    /// Reads what a flag needs from the database behind it, if there is one.
    pub(crate) async fn read_ahead(&self, key: &str) -> Result<(), Unreadable> {
        let shared = self.shared();
        match &shared.backing {
            Some(backing) if !shared.answers() && !shared.is_silent() => {
                backing.read_flag_async(shared, key).await
            }
            _ => Ok(()),
        }
    }
}
