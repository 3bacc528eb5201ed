//! The client: variation, all_flags_state, track, identify, flush, close.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use flagstaff_eval::{DataSet, Detail, PreparedFlag, Value, big_segments};
use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions};
use flagstaff_wire::secure_mode;

use crate::big_segments::{Asking, Gathered};
use crate::clock::now_ms;
use crate::config::{Config, ConfigError};
use crate::context::EventContext;
use crate::data_source::{DataSourceStatus, Ready};
use crate::data_store::{Backing, DataStoreStatus, Texts, Unreadable};
use crate::evaluation::Question;
use crate::hooks::method::{VARIATION, VARIATION_DETAIL};
use crate::hooks::{Hook, Hooks};
use crate::log::LogLevel;
use crate::runtime::{self, Command, Done};
use crate::shared::Shared;
use crate::value::{EventDefault, FlagValue, VariationDefault, VariationDetail};
use crate::{fork, http, plugins};

/// Every flag for one context, to keep or to serialise for a page.
pub type AllFlagsState = AllFlags<'static, Arc<PreparedFlag>>;

/// What a program asks for flags. Make one and share it: clones are the same client.
///
/// Dropping the last clone ends the client in the background, without waiting. Call
/// [`Client::close`] before the program ends, so that the last events are sent.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Ends the client when its last user is gone.
struct Handle(Arc<Shared>);

impl Client {
    /// Starts a client. Returns at once: see [`Client::wait_until_ready`].
    ///
    /// # Errors
    /// If something in the configuration cannot be, or the operating system refuses a thread. That
    /// the service cannot be reached is no error: the client goes on trying.
    pub fn start(config: Config) -> Result<Self, ConfigError> {
        let mut config = config.checked()?;
        let (hooks, plugins) = (mem::take(&mut config.hooks), mem::take(&mut config.plugins));
        let roots = if config.offline { None } else { http::roots(&config)? };
        fork::watch();
        let shared = Arc::new(Shared::new(config, roots));
        if let Some(snapshot) = &shared.snapshot {
            snapshot.load(&shared);
        }
        let client = Self { handle: Arc::new(Handle(shared.clone())) };
        hooks.into_iter().for_each(|hook| client.add_hook(hook));
        plugins::plug_in(&plugins, &client, &shared);
        if shared.config.offline {
            shared.log.write(LogLevel::Info, format_args!("the client is offline: defaults are served"));
        } else {
            if shared.config.daemon_mode {
                // Nothing is to come that it would wait for.
                shared.status.valid();
            }
            runtime::start(&shared)?;
        }
        Ok(client)
    }

    /// Waits for the first flags, for `timeout` at most. Gives whether they have come; false at once
    /// if the service refused the client, which then goes on trying. If they do not come but a database
    /// has some, that is true too.
    pub fn wait_until_ready(&self, timeout: Duration) -> bool {
        self.ready().wait(timeout)
    }

    /// As [`Client::wait_until_ready`], without a time-out, on any executor.
    pub fn ready(&self) -> Ready {
        Ready::new(self.shared().clone())
    }

    /// Whether there has been a full data set.
    pub fn is_initialized(&self) -> bool {
        self.shared().is_initialized()
    }

    /// Whether the client was configured to be offline.
    pub fn is_offline(&self) -> bool {
        self.shared().config.offline
    }

    /// Whether the client was closed.
    pub fn is_closed(&self) -> bool {
        // Asking is no use: a child process need not begin anew for it.
        self.handle.0.is_closed()
    }

    /// How receiving flags is going.
    pub fn data_source_status(&self) -> DataSourceStatus {
        self.shared().status.status()
    }

    /// How the database of flags is doing; without one, all is well.
    pub fn data_store_status(&self) -> DataStoreStatus {
        self.shared().backing.as_ref().map_or(DataStoreStatus::GOOD, Backing::status)
    }

    /// All flags and segments as they are now in memory.
    pub fn data_set(&self) -> Arc<DataSet> {
        self.shared().data.snapshot()
    }

    /// The value of a flag for a context, of the type of `default`.
    ///
    /// Never fails, never waits: an unknown flag, a client that is not ready, a value of another type
    /// all give `default`. Use [`Client::variation_detail`] to learn why. With a database behind the
    /// flags or the big segments it may wait for that, at most for the time-out given there; in async
    /// code use [`Client::variation_async`] then.
    ///
    /// ```
    /// # use flagstaff_sdk::{Client, Config, Context};
    /// # let client = Client::start(Config::new("").offline(true))?;
    /// # let context = Context::from_key("user-1")?;
    /// let on: bool = client.variation("checkout-redesign", &context, false);
    /// let rows: i64 = client.variation("rows", &context, 20);
    /// let colour: String = client.variation("colour", &context, "green");
    /// # assert_eq!((on, rows, colour.as_str()), (false, 20, "green"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn variation<C, D>(&self, key: &str, context: &C, default: D) -> D::Output
    where
        C: EventContext + ?Sized,
        D: VariationDefault,
    {
        let mut value = None;
        self.answer_in_series(VARIATION, &question::<C, D>(key, context, &default, false), |detail| {
            value = detail.value.and_then(D::Output::from_value);
        });
        value.unwrap_or_else(|| default.into())
    }

    /// As [`Client::variation`], and which variation it is, and why. The reason is reported too.
    pub fn variation_detail<C, D>(&self, key: &str, context: &C, default: D) -> VariationDetail<D::Output>
    where
        C: EventContext + ?Sized,
        D: VariationDefault,
    {
        let question = question::<C, D>(key, context, &default, true);
        let (value, variation_index, reason) = self.answer_in_series(VARIATION_DETAIL, &question, |detail| {
            let value = detail.value.and_then(D::Output::from_value);
            (value, detail.variation_index, detail.reason.into_owned())
        });
        VariationDetail { value: value.unwrap_or_else(|| default.into()), variation_index, reason }
    }

    /// Evaluates a flag for any type, and hands the result to `use_detail`, borrowed from the data
    /// set: a detail without a value stands for the default. Allocates nothing once the flag was
    /// counted and the context reported. `with_reason` has the reason reported too.
    ///
    /// `use_detail` may call the client. Hooks are told `variation_detail` if the reason is reported,
    /// else `variation`.
    #[inline]
    pub fn evaluate_with<C, D, R>(
        &self,
        key: &str,
        context: &C,
        default: &D,
        with_reason: bool,
        use_detail: impl FnOnce(Detail<'_>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
    {
        let accepts = |_: &Value| true;
        let question =
            Question { flag_key: key, context, default, with_reason, accepts, read: None, gathered: None };
        let method = if with_reason { VARIATION_DETAIL } else { VARIATION };
        self.answer_in_series(method, &question, use_detail)
    }

    /// Every flag for a context: what a page is started with. Nothing is reported.
    pub fn all_flags_state<C>(&self, context: &C, options: AllFlagsOptions) -> AllFlagsState
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let read = match &shared.backing {
            Some(backing) if !shared.is_silent() => backing.read_all(shared),
            _ => Ok(()),
        };
        self.all_flags_read(read, None, context, options)
    }

    /// Every flag for a context, from memory. `read` is what came of reading the database behind it;
    /// `gathered` is what the database of big segments said, if it was asked before.
    pub(crate) fn all_flags_read<C>(
        &self,
        read: Result<(), Unreadable>,
        gathered: Option<&Gathered>,
        context: &C,
        options: AllFlagsOptions,
    ) -> AllFlagsState
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let data = shared.data.snapshot();
        let problem = if shared.is_silent() {
            if shared.is_closed() { Some("closed") } else { Some("offline") }
        } else if read.is_err() && data.flags().next().is_none() {
            Some("without its database")
        } else if !shared.is_initialized() && data.flags().next().is_none() {
            Some("not ready")
        } else {
            None
        };
        if let Some(problem) = problem {
            shared.log.once(
                LogLevel::Warn,
                format_args!("all flags were asked for, but the client is {problem}: there are none"),
            );
            return AllFlagsState::not_valid();
        }
        self.all_flags_of(&data, gathered, context, options)
    }

    /// Every flag of a data set for a context.
    pub(crate) fn all_flags_of<C>(
        &self,
        data: &DataSet,
        gathered: Option<&Gathered>,
        context: &C,
        options: AllFlagsOptions,
    ) -> AllFlagsState
    where
        C: EventContext + ?Sized,
    {
        let now_ms = i64::try_from(now_ms()).unwrap_or(i64::MAX);
        let asking = self.shared().big_segments.as_ref().map(Asking::new);
        let asked = gathered
            .map(|gathered| gathered as &dyn big_segments::BigSegments)
            .or(asking.as_ref().map(|asking| asking as &dyn big_segments::BigSegments));
        AllFlagsState::owned(data, asked, context, options, now_ms)
    }

    /// Reports something that happened in the program. `data` is any JSON, null for none;
    /// `metric_value` is a number for metrics; one that is not finite is left out.
    pub fn track<C>(&self, key: &str, context: &C, data: Value, metric_value: Option<f64>)
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let for_hooks = (!self.hooks().is_empty() && !shared.is_closed()).then(|| data.clone());
        if let Some(events) = shared.reporting() {
            events.track(key, context, data, metric_value);
        }
        if let Some(data) = for_hooks {
            self.after_track(key, context, &data, metric_value);
        }
    }

    /// Reports a context, so that it is known before it is evaluated.
    pub fn identify<C>(&self, context: &C)
    where
        C: EventContext + ?Sized,
    {
        let shared = self.shared();
        let Some(events) = shared.reporting() else { return };
        let context = context.to_context();
        if context.members().iter().any(|member| member.key().is_empty()) {
            shared.log.once(
                LogLevel::Warn,
                format_args!("a context with an empty key was to be identified: it is passed over"),
            );
            return;
        }
        events.identify(context);
    }

    /// A hash of the context that a browser shows to prove whom it speaks for: secure mode.
    pub fn secure_mode_hash<C>(&self, context: &C) -> String
    where
        C: EventContext + ?Sized,
    {
        secure_mode::hash(&self.shared().config.sdk_key, context.canonical_key().as_ref())
    }

    /// Sends events now, in the background.
    pub fn flush(&self) {
        self.shared().tell(Command::Flush(None));
    }

    /// Sends events now, and waits until they are sent, for `timeout` at most. Gives whether they were
    /// sent or given up on.
    pub fn flush_and_wait(&self, timeout: Duration) -> bool {
        let (done, wait) = Done::channel();
        self.shared().tell(Command::Flush(Some(done))) && wait.wait(timeout)
    }

    /// Sends the last events and closes all connections, within the time-out of the configuration.
    /// From then on every variation is the default. More than once does nothing more.
    pub fn close(&self) {
        let shared: &Arc<Shared> = &self.handle.0;
        if shared.is_inherited() {
            // Nothing of this process's waits to be sent, and there is no thread to end.
            shared.leave_parent();
        }
        let timeout = shared.config.close_timeout;
        let (done, wait) = Done::channel();
        if shared.end(Command::Close { deadline: Instant::now() + timeout, done: Some(done) }) {
            // A little longer than the thread itself waits.
            wait.wait(timeout + Duration::from_secs(1));
        }
    }

    /// Adds a hook to those of the configuration. An evaluation that has begun goes on without it.
    pub fn add_hook(&self, hook: Arc<dyn Hook>) {
        let shared = &self.handle.0;
        shared.hooks.add(hook, &shared.log);
    }

    /// The id of the environment that the flags are of, once the service has said it.
    pub fn environment_id(&self) -> Option<Arc<str>> {
        self.shared().environment_id.get()
    }

    /// All flags and segments as they were last known, if they are, and as they came, if that is kept; also in
    /// a child process where the client was not used.
    pub(crate) fn last_known(&self) -> Option<(Arc<DataSet>, Option<&Texts>)> {
        let shared = &self.handle.0;
        shared.is_initialized().then(|| (shared.data.snapshot(), shared.texts.as_deref()))
    }

    /// The client's hooks, which a child process has too.
    #[inline]
    pub(crate) fn hooks(&self) -> &Hooks {
        &self.handle.0.hooks
    }

    /// The shared state, in a process that it belongs to.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        let shared = &self.handle.0;
        if shared.is_inherited() {
            start_in_child(shared);
        }
        shared
    }
}

#[inline]
pub(crate) fn question<'q, C, D>(
    flag_key: &'q str,
    context: &'q C,
    default: &'q D,
    with_reason: bool,
) -> Question<'q, C, D, impl Fn(&Value) -> bool + use<C, D>>
where
    C: ?Sized,
    D: VariationDefault,
{
    let accepts = D::Output::accepts;
    Question { flag_key, context, default, with_reason, accepts, read: None, gathered: None }
}

/// The first use of a client in a child process: it starts afresh, with the flags it has.
#[cold]
pub(crate) fn start_in_child(shared: &Arc<Shared>) {
    if !shared.leave_parent() || shared.config.offline {
        return;
    }
    if let Err(error) = runtime::start(shared) {
        shared.log.write(
            LogLevel::Error,
            format_args!("could not start in a child process, flags will not change here: {error}"),
        );
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = &self.0;
        if shared.is_inherited() {
            shared.leave_parent();
        }
        let deadline = Instant::now() + shared.config.close_timeout;
        shared.end(Command::Close { deadline, done: None });
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("config", &self.handle.0.config).finish_non_exhaustive()
    }
}
