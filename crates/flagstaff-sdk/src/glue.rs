//! For SDKs of other languages that are built on this one, and for relays: what a Rust program has no use for.

use std::sync::{Arc, OnceLock};

use flagstaff_eval::big_segments::Membership;
use flagstaff_eval::{BigSegmentsStatus, DataSet, Detail, PreparedFlag, PrerequisiteResult, Value};
use flagstaff_wire::all_flags::AllFlagsOptions;
use flagstaff_wire::migration::MigrationOpEvent;

use crate::client::{AllFlagsState, Client};
use crate::config::{Config, ConfigError};
use crate::context::EventContext;
use crate::data_source::receive::remind;
use crate::data_source::{DataAvailability, DataSourceUpdates};
use crate::data_store::{Backing, StoreError, StoredItem};
use crate::evaluation::Question;
use crate::http::{self, Http};
use crate::runtime::{Command, Done};
use crate::value::EventDefault;

/// What is called around a wait.
type Around = fn(&mut (dyn FnMut() + Send));

static AROUND: OnceLock<Around> = OnceLock::new();

/// Has `around` called, on the caller's thread, around whatever keeps it waiting: for a database, for the
/// first flags, for events to be sent. It must call what it is given, once, and may let go of a lock of its
/// language meanwhile. For the whole process; only the first call counts.
pub fn around_waits(around: fn(&mut (dyn FnMut() + Send))) {
    // A second one is another copy of the same glue.
    let _ = AROUND.set(around);
}

/// Waits, on the caller's thread.
pub(crate) fn while_waiting(wait: &mut (dyn FnMut() + Send)) {
    match AROUND.get() {
        Some(around) => around(wait),
        None => wait(),
    }
}

/// Sees what a client receives, as it was written: see [`Config::observer`].
///
/// It is told of one thing after the other, in the order in which they come into force, on whatever thread
/// brings them, while no other change can be made. So it must be quick, must not wait for anything, and must
/// not call the client.
pub trait Observer: Send + Sync + 'static {
    /// Whatever comes next is of the environment with this id. Told before everything that comes, once the service
    /// has said it.
    fn environment(&self, id: &str) {
        let _ = id;
    }

    /// These items take the place of all others, whatever the versions. `data` is what they make together.
    /// They were received, or are those last known, from a snapshot, as `availability` says.
    fn everything(&self, data: &DataSet, items: &[StoredItem], availability: DataAvailability);

    /// These items are new, changed, or tombstones now: what is not live in `data`, which has them already.
    fn changes(&self, data: &DataSet, items: &[StoredItem]);
}

impl Config {
    /// Shows `observer` all that is received, including what this version does not know. Keeps items, as
    /// [`Config::keep_items`] does.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self.keep_items(true)
    }
}

impl Client {
    /// What the database of big segments says of a context, for evaluations that are made elsewhere. Waits for
    /// it on any executor, for its time-out at most.
    pub async fn big_segment_membership(
        &self,
        context_key: &str,
    ) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        let shared = self.shared();
        let Some(manager) = &shared.big_segments else { return (None, BigSegmentsStatus::NotConfigured) };
        let mut late = shared.after(manager.timeout());
        manager.fetch(context_key, &mut late).await
    }

    /// Has the database of big segments asked anew: something wrote to it.
    pub fn forget_big_segment_memberships(&self) {
        if let Some(manager) = &self.shared().big_segments {
            manager.forget();
        }
    }
}

/// Sends requests in the way in which a client with this configuration does: through the same proxy, with the
/// same certificates, time-out for connecting and names. Without an SDK key there is no `Authorization`. How
/// long an answer may take is the caller's to say.
///
/// # Errors
/// As those of [`Client::start`].
pub fn http_client(config: Config) -> Result<reqwest::Client, ConfigError> {
    let config = config.sdk_key_may_be_missing().checked()?;
    let roots = http::roots(&config)?;
    Http::new(&config, roots, &uuid::Uuid::new_v4().to_string()).map(Http::into_client)
}

/// What went wrong with a request, in words without secrets: what stands before an `@` in a proxy's address
/// among them.
pub fn describe_http_error(error: &reqwest::Error) -> String {
    http::describe(error)
}

/// Whether a request failed in a way that time alone does not mend: because of a certificate.
pub fn is_certificate_error(error: &reqwest::Error) -> bool {
    http::is_certificate_error(error)
}

/// What an evaluation looks at besides, and whom it tells.
pub struct Seen<'s> {
    /// The flags that it is done in; without any, the client's own.
    pub data: Option<&'s DataSet>,
    /// Told of each prerequisite that is evaluated on the way.
    pub on_prerequisite: &'s mut dyn FnMut(&PrerequisiteResult<'_>),
}

impl Client {
    /// As [`Client::evaluate_with`], with more to be seen of it: `use_detail` is handed the very version of
    /// the flag that was evaluated, or none if there is no such flag. No hook is called.
    ///
    /// In a data set that the caller brings nothing is missing: a flag that is not there does not exist,
    /// whether or not the client has had flags.
    pub fn evaluate_seen<C, D, R>(
        &self,
        seen: Seen<'_>,
        key: &str,
        context: &C,
        default: &D,
        with_reason: bool,
        use_detail: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let accepts = |_: &Value| true;
        let question =
            Question { flag_key: key, context, default, with_reason, accepts, read: None, gathered: None };
        let Seen { data, on_prerequisite } = seen;
        let mut tell = |result: &PrerequisiteResult<'_>| on_prerequisite(result);
        match data {
            Some(data) => self.answer_in(data, &question, &mut tell, use_detail),
            None => self.answer_with_flag(&question, &mut tell, use_detail),
        }
    }

    /// Counts that `default` was served because there was nobody to evaluate a flag for: a user without a key,
    /// in a language that has such. `flag` is none if there is no such flag.
    pub fn count_for_nobody<D>(&self, flag_key: &str, flag: Option<&PreparedFlag>, default: &D)
    where
        D: EventDefault + ?Sized,
    {
        let counts = flag.is_none_or(|flag| !flag.exclude_from_summaries());
        if let Some(events) = self.shared().reporting().filter(|_| counts) {
            events.nobody(flag_key, flag.map(PreparedFlag::version), default);
        }
    }

    /// Reports one step of a migration that the caller took down itself, and checked.
    pub fn report_migration_op(&self, event: MigrationOpEvent) {
        if let Some(events) = self.shared().reporting() {
            events.migration_op(event);
        }
    }

    /// Begins with the flags of a client of the same environment, whose place this one takes, unless it has
    /// had flags already, or has a database behind them: then they come from there. `other` may be one that a
    /// child process has of its parent; it is not used.
    pub fn remind_of(&self, other: &Client) {
        let shared = self.shared();
        if shared.config.offline || shared.backing.is_some() {
            return;
        }
        let Some((known, texts)) = other.last_known() else { return };
        let texts = match (&shared.texts, texts) {
            (None, _) => Vec::new(),
            (Some(_), Some(texts)) => texts.in_order(&known),
            // Items could not be read back.
            (Some(_), None) => return,
        };
        remind(shared, DataSet::clone(&known), texts);
    }

    /// As [`Client::all_flags_state`], in a data set that the caller brings.
    pub fn all_flags_state_in<C>(
        &self,
        data: &DataSet,
        context: &C,
        options: AllFlagsOptions,
    ) -> AllFlagsState
    where
        C: EventContext + ?Sized,
    {
        if self.shared().is_silent() {
            AllFlagsState::not_valid()
        } else {
            self.all_flags_of(data, None, context, options)
        }
    }

    /// Whether the evaluation of a flag, begun at once, may have to wait for a database; if not, memory has all
    /// that it needs. With a database of big segments that is always so.
    pub fn may_wait_for(&self, flag_key: &str) -> bool {
        let shared = self.shared();
        if shared.is_silent() {
            return false;
        }
        let reads = |backing: &Backing| !shared.answers() && backing.would_read(shared, flag_key);
        shared.big_segments.is_some() || shared.backing.as_ref().is_some_and(reads)
    }

    /// As [`Client::flush_and_wait`], without keeping a thread: `then` is told, soon or late, on this thread
    /// or the client's own. It must not wait for anything.
    pub fn flush_then(&self, then: impl FnOnce(bool) + Send + 'static) {
        self.shared().tell(Command::Flush(Some(Done::calling(then))));
    }

    /// Tells that the database of flags failed where the glue asked it itself: its status says so, and it is
    /// asked until it answers again, as if the client had asked it.
    pub fn data_store_failed(&self, error: &StoreError) {
        let shared = self.shared();
        if let Some(backing) = &shared.backing
            && !shared.is_closed()
        {
            backing.failed(shared, error);
        }
    }

    /// A way to put flags into this client beside its data source, whatever that is.
    pub fn data_source_updates(&self) -> DataSourceUpdates {
        DataSourceUpdates::new(self.shared())
    }
}
