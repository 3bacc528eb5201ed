//! What a client's callers and its own thread share.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flagstaff_eval::{DataSet, SharedDataSet};
use flagstaff_wire::stream::ItemKind;
use rustls::RootCertStore;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::big_segments::{self, BigSegmentStoreStatus};
use crate::callbacks::Callbacks;
use crate::config::Config;
use crate::data_source::StatusCell;
use crate::data_store::{Backing, DataStoreStatus, Texts};
use crate::data_system::LastStop;
use crate::environment_id::EnvironmentId;
use crate::events::Events;
use crate::flag_tracker::{self, DataChange};
use crate::fork;
use crate::hooks::Hooks;
use crate::listeners::Listeners;
use crate::log::Log;
use crate::runtime::Command;
use crate::snapshot::Snapshots;
use crate::wait::{Slot, Waiting};

/// The client has had a full data set.
const INITIALIZED: u8 = 1;
/// It answers with defaults whatever it has: it is offline, or closed.
const SILENT: u8 = 2;
/// It was closed.
const CLOSED: u8 = 4;
/// What an evaluation needs may first have to be read from a database.
const READS_STORE: u8 = 8;
/// A full data set was received.
const RECEIVED: u8 = 16;
/// A full data set was found in a snapshot.
const FROM_SNAPSHOT: u8 = 32;
/// There is a data set that was known before; whoever waits for flags waits for newer ones.
const REMINDED: u8 = 64;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) log: Log,
    /// Where listeners are called.
    pub(crate) callbacks: Arc<Callbacks>,
    /// Who is told of changes of `data`.
    pub(crate) flag_listeners: Arc<Listeners<DataChange>>,
    pub(crate) hooks: Hooks,
    pub(crate) environment_id: EnvironmentId,
    pub(crate) data: SharedDataSet,
    /// The items in `data` as they came, if something writes them on.
    pub(crate) texts: Option<Arc<Texts>>,
    /// The database behind `data`, if there is one.
    pub(crate) backing: Option<Backing>,
    /// Who is told how that is doing.
    pub(crate) store_listeners: Arc<Listeners<DataStoreStatus>>,
    /// Who asks the database of big segments, if there is one.
    pub(crate) big_segments: Option<Arc<big_segments::Manager>>,
    /// Who is told how that is doing.
    pub(crate) big_segment_listeners: Arc<Listeners<BigSegmentStoreStatus>>,
    /// Which of the program's own sources was stopped last.
    pub(crate) last_stop: LastStop,
    /// Where the last known flags are kept, if they are.
    pub(crate) snapshot: Option<Snapshots>,
    pub(crate) status: StatusCell,
    /// None if the client is offline or told not to report.
    pub(crate) events: Option<Events>,
    /// The certificate authorities; none if certificates are not checked.
    pub(crate) roots: Option<RootCertStore>,
    state: AtomicU8,
    /// The generation of the process that the client's thread runs in.
    generation: AtomicU64,
    control: Mutex<Control>,
}

/// The way to the client's thread, and the name under which it sends.
struct Control {
    /// None before the thread is started, and after it was told to end.
    commands: Option<UnboundedSender<Command>>,
    /// The thread's runtime, for timers.
    runtime: Option<Handle>,
    instance_id: Uuid,
}

impl Shared {
    pub(crate) fn new(config: Config, roots: Option<RootCertStore>) -> Self {
        let log = Log::new(config.log_sink.clone());
        let events = (config.send_events && !config.offline).then(|| Events::new(&config, log.clone()));
        let backing = config.data_store.as_ref().filter(|_| !config.offline);
        let backing = backing.map(|options| Backing::new(&config, options, log.clone()));
        let state = match &backing {
            _ if config.offline => SILENT,
            Some(_) if config.daemon_mode => INITIALIZED | READS_STORE,
            Some(_) => READS_STORE,
            None => 0,
        };
        let snapshot = Snapshots::new(&config);
        let callbacks = Arc::new(Callbacks::new(log.clone()));
        let big_segment_listeners =
            Listeners::new("a big segment store status listener", log.clone(), callbacks.clone());
        let big_segments =
            config.big_segments.clone().filter(|_| !config.offline).map(|options| {
                big_segments::Manager::new(options, log.clone(), big_segment_listeners.clone())
            });
        Self {
            state: AtomicU8::new(state),
            flag_listeners: Listeners::new(flag_tracker::WHAT, log.clone(), callbacks.clone()),
            hooks: Hooks::default(),
            environment_id: EnvironmentId::default(),
            data: SharedDataSet::default(),
            texts: (backing.is_some() || snapshot.is_some() || config.keep_items).then(Arc::default),
            last_stop: LastStop::default(),
            snapshot,
            backing,
            store_listeners: Listeners::new("a data store status listener", log.clone(), callbacks.clone()),
            big_segments,
            big_segment_listeners,
            status: StatusCell::new(config.offline, log.clone(), callbacks.clone()),
            events,
            roots,
            generation: AtomicU64::new(fork::generation()),
            control: Mutex::new(Control { commands: None, runtime: None, instance_id: Uuid::new_v4() }),
            callbacks,
            log,
            config,
        }
    }

    /// Whether evaluations are answered from the data set, without a second look.
    #[inline]
    pub(crate) fn answers(&self) -> bool {
        self.state.load(Ordering::Acquire) & (INITIALIZED | SILENT | READS_STORE) == INITIALIZED
    }

    /// Whether there has been a full data set: received, or found in the database.
    pub(crate) fn is_initialized(&self) -> bool {
        self.state.load(Ordering::Acquire) & (INITIALIZED | REMINDED) != 0
            || self.backing.as_ref().is_some_and(Backing::is_initialized)
    }

    /// Whether there are flags that it was worth waiting for: all but those that a database had before.
    pub(crate) fn has_flags(&self) -> bool {
        self.state.load(Ordering::Acquire) & INITIALIZED != 0
    }

    /// Whether nobody has to wait for the first flags any more. In second-generation delivery what a
    /// database holds can be used, but initialization goes on.
    pub(crate) fn is_ready(&self) -> bool {
        let must_receive = self.config.data_system.is_some() && !self.config.daemon_mode;
        if must_receive { self.has_received() || self.is_from_snapshot() } else { self.is_initialized() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.state.load(Ordering::Acquire) & SILENT != 0
    }

    /// What evaluations are reported to, if they are.
    #[inline]
    pub(crate) fn reporting(&self) -> Option<&Events> {
        self.events.as_ref().filter(|_| !self.is_closed())
    }

    /// Changes the data set; false if `next` makes nothing of it. Listeners are told. No other change is
    /// made while `next` runs, which holds a fork guard; whatever changes with the data set changes there.
    pub(crate) fn change_data(&self, next: impl FnOnce(&DataSet) -> Option<DataSet>) -> bool {
        self.change_data_then(next, || None)
    }

    /// As [`Shared::change_data`]. `then` is done before listeners are told, who wait for what it gives, for so
    /// long at most.
    pub(crate) fn change_data_then(
        &self,
        next: impl FnOnce(&DataSet) -> Option<DataSet>,
        then: impl FnOnce() -> Option<(Waiting<()>, Duration)>,
    ) -> bool {
        let listeners = &self.flag_listeners;
        let mut noted = false;
        let changed = {
            let _unforked = fork::guard();
            self.data.change_and_see(next, |before, after| {
                noted = listeners.any() && listeners.note(DataChange::new(before, after));
            })
        };
        let awaited = then();
        if noted {
            if let Some((awaited, at_most)) = awaited {
                self.callbacks.call(flag_tracker::WHAT, move || {
                    awaited.wait(at_most);
                });
            }
            listeners.call();
            // Listeners have the old data set until then.
            let retired = self.data.retired();
            self.callbacks.call(flag_tracker::WHAT, move || {
                let _unforked = fork::guard();
                retired.free();
            });
        }
        changed
    }

    /// Whether a full data set was received, and not only read from a database.
    pub(crate) fn has_received(&self) -> bool {
        self.state.load(Ordering::Acquire) & RECEIVED != 0
    }

    /// Whether a full data set was found in a snapshot; it may have been replaced since.
    pub(crate) fn is_from_snapshot(&self) -> bool {
        self.state.load(Ordering::Acquire) & FROM_SNAPSHOT != 0
    }

    /// A full data set was found in a snapshot, and is in force.
    pub(crate) fn found_snapshot(&self) {
        self.state.fetch_or(INITIALIZED | FROM_SNAPSHOT, Ordering::AcqRel);
        self.status.cached();
    }

    /// A full data set was received, and is in force.
    pub(crate) fn received_everything(&self) {
        self.has_everything();
        self.status.refreshed();
    }

    /// A data set that was known before is in force.
    pub(crate) fn was_reminded(&self) {
        self.state.fetch_or(REMINDED, Ordering::AcqRel);
    }

    /// A full data set is in force.
    pub(crate) fn has_everything(&self) {
        self.state.fetch_or(INITIALIZED | RECEIVED, Ordering::AcqRel);
        if self.backing.as_ref().is_some_and(Backing::memory_is_enough) {
            self.state.fetch_and(!READS_STORE, Ordering::AcqRel);
        }
    }

    /// Whether this is the text of the item that is in memory.
    pub(crate) fn is_known_text(&self, kind: ItemKind, key: &Arc<str>, text: &str) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.is(kind, key, text))
    }

    /// Comes to pass after so long, or at once if the client's thread is gone. Works on any executor.
    pub(crate) fn after(&self, time: Duration) -> Waiting<()> {
        /// Whatever becomes of the task, whoever waits for it goes on.
        struct Tells(Arc<Slot<()>>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.set(Some(()));
            }
        }
        let slot = Slot::new();
        let waiting = slot.taking();
        let tells = Tells(slot);
        let runtime = {
            let _unforked = fork::guard();
            self.control().runtime.clone()
        };
        if let Some(runtime) = runtime {
            runtime.spawn(async move {
                tokio::time::sleep(time).await;
                drop(tells);
            });
        }
        waiting
    }

    /// Whether the process was forked since the client was started in it.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation.load(Ordering::Acquire) != fork::generation()
    }

    /// In a child process: forgets what belongs to the parent. True for the one caller that did it,
    /// who is to start the client's thread, unless the client is closed.
    pub(crate) fn leave_parent(&self) -> bool {
        let _unforked = fork::guard();
        let mut control = self.control();
        if !self.is_inherited() {
            return false;
        }
        // Dropping the sender would wake the parent's thread through the event file both share.
        std::mem::forget((control.commands.take(), control.runtime.take()));
        control.instance_id = Uuid::new_v4();
        if let Some(events) = &self.events {
            events.forget();
        }
        if let Some(backing) = &self.backing {
            backing.leave_parent();
        }
        if let Some(snapshot) = &self.snapshot {
            snapshot.leave_parent();
        }
        self.last_stop.leave_parent();
        self.callbacks.leave_parent();
        self.flag_listeners.leave_parent();
        self.store_listeners.leave_parent();
        self.big_segment_listeners.leave_parent();
        if let Some(manager) = &self.big_segments {
            manager.leave_parent();
        }
        self.status.leave_parent(!self.is_closed() && !self.config.offline);
        // Last: other threads of the child come in as soon as they read this.
        self.generation.store(fork::generation(), Ordering::Release);
        !self.is_closed()
    }

    pub(crate) fn instance_id(&self) -> Uuid {
        let _unforked = fork::guard();
        self.control().instance_id
    }

    /// Sets the way to the client's thread. If the client was closed meanwhile there is none: the
    /// thread ends at once.
    pub(crate) fn connect(&self, commands: UnboundedSender<Command>, runtime: Option<Handle>) {
        let _unforked = fork::guard();
        let mut control = self.control();
        // Whoever closes says so first, and takes the sender out afterwards.
        if !self.is_closed() {
            control.commands = Some(commands);
            control.runtime = runtime;
        }
    }

    /// Tells the client's thread something; false if there is none.
    pub(crate) fn tell(&self, command: Command) -> bool {
        // Whoever it would tell is told under no lock that it was not taken.
        let refused = {
            let _unforked = fork::guard();
            match &self.control().commands {
                Some(commands) => commands.send(command).err().map(|unsent| unsent.0),
                None => Some(command),
            }
        };
        refused.is_none()
    }

    /// Closes the client for callers, and tells its thread to end; false if there is none.
    pub(crate) fn end(&self, command: Command) -> bool {
        let silent = if self.config.answer_when_closed { 0 } else { SILENT };
        self.state.fetch_or(CLOSED | silent, Ordering::AcqRel);
        let (commands, runtime) = {
            let _unforked = fork::guard();
            let mut control = self.control();
            (control.commands.take(), control.runtime.take())
        };
        // Its files are open for as long as somebody has it.
        drop(runtime);
        let told = commands.is_some_and(|commands| commands.send(command).is_ok());
        self.status.off();
        self.flag_listeners.end();
        self.status.listeners().end();
        self.store_listeners.end();
        self.big_segment_listeners.end();
        if let Some(manager) = &self.big_segments {
            manager.stop();
        }
        self.callbacks.stop();
        told
    }

    /// The caller holds a fork guard.
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
