//! What a client's callers and its own thread share.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flagstaff_eval::{DataSet, SharedDataSet};
use rustls::RootCertStore;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::callbacks::Callbacks;
use crate::config::Config;
use crate::data_source::StatusCell;
use crate::environment_id::EnvironmentId;
use crate::events::Events;
use crate::fork;
use crate::hooks::Hooks;
use crate::log::Log;
use crate::runtime::Command;

/// The client has had a full data set.
const INITIALIZED: u8 = 1;
/// It answers with defaults whatever it has: it is offline, or closed.
const SILENT: u8 = 2;
/// It was closed.
const CLOSED: u8 = 4;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) log: Log,
    /// Where listeners are called.
    pub(crate) callbacks: Callbacks,
    pub(crate) hooks: Hooks,
    pub(crate) environment_id: EnvironmentId,
    pub(crate) data: SharedDataSet,
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
    instance_id: Uuid,
}

impl Shared {
    pub(crate) fn new(config: Config, roots: Option<RootCertStore>) -> Self {
        let log = Log::new(config.log_sink.clone());
        let events = (config.send_events && !config.offline).then(|| Events::new(&config, log.clone()));
        Self {
            state: AtomicU8::new(if config.offline { SILENT } else { 0 }),
            callbacks: Callbacks::new(log.clone()),
            log,
            hooks: Hooks::default(),
            environment_id: EnvironmentId::default(),
            data: SharedDataSet::default(),
            status: StatusCell::new(config.offline),
            events,
            roots,
            generation: AtomicU64::new(fork::generation()),
            control: Mutex::new(Control { commands: None, instance_id: Uuid::new_v4() }),
            config,
        }
    }

    /// Whether evaluations are answered from the data set, without a second look.
    #[inline]
    pub(crate) fn answers(&self) -> bool {
        self.state.load(Ordering::Acquire) & (INITIALIZED | SILENT) == INITIALIZED
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.state.load(Ordering::Acquire) & INITIALIZED != 0
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

    /// Puts a full data set in force.
    pub(crate) fn replace_data(&self, data: DataSet) {
        {
            let _unforked = fork::guard();
            self.data.replace(data);
        }
        self.state.fetch_or(INITIALIZED, Ordering::AcqRel);
        self.status.valid();
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
        std::mem::forget(control.commands.take());
        control.instance_id = Uuid::new_v4();
        if let Some(events) = &self.events {
            events.forget();
        }
        self.callbacks.leave_parent();
        self.status.leave_parent();
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
    pub(crate) fn connect(&self, commands: UnboundedSender<Command>) {
        let _unforked = fork::guard();
        let mut control = self.control();
        // Whoever closes says so first, and takes the sender out afterwards.
        if !self.is_closed() {
            control.commands = Some(commands);
        }
    }

    /// Tells the client's thread something; false if there is none.
    pub(crate) fn tell(&self, command: Command) -> bool {
        let _unforked = fork::guard();
        self.control().commands.as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }

    /// Closes the client for callers, and tells its thread to end; false if there is none.
    pub(crate) fn end(&self, command: Command) -> bool {
        let silent = if self.config.answer_when_closed { 0 } else { SILENT };
        self.state.fetch_or(CLOSED | silent, Ordering::AcqRel);
        let commands = {
            let _unforked = fork::guard();
            self.control().commands.take()
        };
        let told = commands.is_some_and(|commands| commands.send(command).is_ok());
        self.status.off();
        self.callbacks.stop();
        told
    }

    /// The caller holds a fork guard.
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
