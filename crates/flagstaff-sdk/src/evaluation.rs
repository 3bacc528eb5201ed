//! One evaluation, from the flag's key to what is reported of it: the hot path.
//!
//! Source of the order of checks: the protocol's *SDK call order*. No lock is taken and nothing is
//! allocated as long as nothing is new: the flag was counted, and the context reported, before.

use std::sync::Arc;

use flagstaff_eval::{
    DataSet, Detail, ErrorKind, PreparedFlag, PrerequisiteResult, ReasonKind, Value, evaluate,
    evaluate_with_big_segments,
};

use crate::big_segments::{Asking, Gathered, Manager};
use crate::client::Client;
use crate::clock::now_ms;
use crate::context::EventContext;
use crate::data_store::Unreadable;
use crate::events::Evaluated;
use crate::log::LogLevel;
use crate::shared::Shared;
use crate::value::EventDefault;

/// What the caller asks for.
pub(crate) struct Question<'q, C: ?Sized, D: ?Sized, A> {
    pub(crate) flag_key: &'q str,
    pub(crate) context: &'q C,
    pub(crate) default: &'q D,
    pub(crate) with_reason: bool,
    /// Whether a value is of the type that the caller wants.
    pub(crate) accepts: A,
    /// What came of reading from the database behind the flags, if that was done before: without a
    /// database it does not matter, and with one an evaluation does it itself, and may wait.
    pub(crate) read: Option<Result<(), Unreadable>>,
    /// What the database of big segments said, if it was asked before; with one, an evaluation asks it
    /// itself, and may wait.
    pub(crate) gathered: Option<&'q Gathered>,
}

impl Client {
    /// Evaluates, reports, and hands the result to `use_detail`, borrowed from the data set.
    #[inline]
    pub(crate) fn answer<C, D, A, R>(
        &self,
        question: &Question<'_, C, D, A>,
        use_detail: impl FnOnce(Detail<'_>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        self.answer_with_flag(question, &mut |_| {}, |detail, _| use_detail(detail))
    }

    /// As [`Client::answer`], with the very version of the flag that was evaluated; none if there is
    /// no such flag, or it was not looked at. `seen` is told of each prerequisite.
    #[inline]
    pub(crate) fn answer_with_flag<C, D, A, R>(
        &self,
        question: &Question<'_, C, D, A>,
        seen: &mut impl FnMut(&PrerequisiteResult<'_>),
        use_detail: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        let shared = self.shared();
        // A legacy user may have an empty key, a Rust context never; the data set has one answer to both.
        if shared.answers() {
            let data = shared.data.load();
            if let Some(flag) = data.flag(question.flag_key) {
                return use_detail(evaluated(shared, &data, flag, question, seen), Some(flag));
            }
        }
        self.answer_without(question, seen, use_detail)
    }

    /// As [`Client::answer_with_flag`], in a data set that the caller brings.
    pub(crate) fn answer_in<C, D, A, R>(
        &self,
        data: &DataSet,
        question: &Question<'_, C, D, A>,
        seen: &mut impl FnMut(&PrerequisiteResult<'_>),
        use_detail: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        let shared = self.shared();
        if shared.is_silent() {
            return use_detail(Detail::error(ErrorKind::ClientNotReady), None);
        }
        if let Some(flag) = data.flag(question.flag_key) {
            return use_detail(evaluated(shared, data, flag, question, seen), Some(flag));
        }
        report_unknown(shared, question);
        use_detail(Detail::error(ErrorKind::FlagNotFound), None)
    }

    /// There is no such flag, or no answer to be given yet, or any more.
    #[cold]
    fn answer_without<C, D, A, R>(
        &self,
        question: &Question<'_, C, D, A>,
        seen: &mut impl FnMut(&PrerequisiteResult<'_>),
        use_detail: impl FnOnce(Detail<'_>, Option<&PreparedFlag>) -> R,
    ) -> R
    where
        C: EventContext + ?Sized,
        D: EventDefault + ?Sized,
        A: Fn(&Value) -> bool,
    {
        let shared = self.shared();
        let key = question.flag_key;
        if shared.is_silent() {
            let why = if shared.is_closed() { "closed" } else { "offline" };
            if shared.is_closed() {
                shared.log.once(
                    LogLevel::Warn,
                    format_args!(
                        "flag `{key}` was asked for, but the client is {why}: its default is served"
                    ),
                );
            }
            return use_detail(Detail::error(ErrorKind::ClientNotReady), None);
        }
        let read = match (&shared.backing, question.read) {
            (Some(backing), None) => backing.read_flag(shared, key),
            (_, read) => read.unwrap_or(Ok(())),
        };
        let data = shared.data.load();
        let kind = match data.flag(key) {
            // Not all flags have come, but this one has; or the database is away, but this is in memory.
            Some(flag) => return use_detail(evaluated(shared, &data, flag, question, seen), Some(flag)),
            // A full data set has everything, whatever the database says.
            None if read.is_err() && !shared.has_received() => ErrorKind::Exception,
            None if shared.is_initialized() => ErrorKind::FlagNotFound,
            None => ErrorKind::ClientNotReady,
        };
        drop(data);
        match kind {
            ErrorKind::FlagNotFound => shared.log.once(
                LogLevel::Info,
                format_args!("flag `{key}` was asked for, but there is no such flag: its default is served"),
            ),
            ErrorKind::Exception => shared.log.once(
                LogLevel::Error,
                format_args!("flag `{key}` could not be read from the database: its default is served"),
            ),
            _ => shared.log.once(
                LogLevel::Warn,
                format_args!("flags were asked for before any have come: their defaults are served"),
            ),
        }
        report_unknown(shared, question);
        use_detail(Detail::error(kind), None)
    }
}

/// Reports that the default was served, as there is no such flag.
#[cold]
fn report_unknown<C, D, A>(shared: &Shared, question: &Question<'_, C, D, A>)
where
    C: EventContext + ?Sized,
    D: EventDefault + ?Sized,
{
    let Some(events) = shared.reporting() else { return };
    let (context, default) = (question.context, question.default);
    let of = Evaluated { context, default, with_reason: question.with_reason, now_ms: now_ms() };
    events.unknown(question.flag_key, &of);
}

#[inline]
fn evaluated<'d, C, D, A>(
    shared: &Shared,
    data: &'d DataSet,
    flag: &'d Arc<PreparedFlag>,
    question: &Question<'_, C, D, A>,
    seen: &mut impl FnMut(&PrerequisiteResult<'_>),
) -> Detail<'d>
where
    C: EventContext + ?Sized,
    D: EventDefault + ?Sized,
    A: Fn(&Value) -> bool,
{
    let context = question.context;
    let Some(events) = shared.reporting() else {
        let detail = walked(shared, data, flag, context, question.gathered, &mut |result| seen(&result));
        return checked(shared, data, flag, detail, question);
    };
    let now_ms = now_ms();
    let with_reason = question.with_reason;
    let detail = walked(shared, data, flag, context, question.gathered, &mut |result| {
        seen(&result);
        let of = Evaluated { context, default: &(), with_reason, now_ms };
        events.prerequisite(&result, || data.flag(result.flag.key()), &of);
    });
    let detail = checked(shared, data, flag, detail, question);
    let of = Evaluated { context, default: question.default, with_reason, now_ms };
    events.evaluated(flag, || Some(flag), &detail, &of);
    detail
}

/// Evaluates a flag. Only with a database of big segments there is anything to ask.
#[inline]
fn walked<'d, C: EventContext + ?Sized>(
    shared: &Shared,
    data: &'d DataSet,
    flag: &'d PreparedFlag,
    context: &C,
    gathered: Option<&Gathered>,
    on_prerequisite: &mut dyn FnMut(PrerequisiteResult<'d>),
) -> Detail<'d> {
    match &shared.big_segments {
        None => evaluate(data, flag, context, on_prerequisite),
        Some(manager) => walked_asking(manager, data, flag, context, gathered, on_prerequisite),
    }
}

#[cold]
fn walked_asking<'d, C: EventContext + ?Sized>(
    manager: &Arc<Manager>,
    data: &'d DataSet,
    flag: &'d PreparedFlag,
    context: &C,
    gathered: Option<&Gathered>,
    on_prerequisite: &mut dyn FnMut(PrerequisiteResult<'d>),
) -> Detail<'d> {
    match gathered {
        Some(gathered) => evaluate_with_big_segments(data, Some(gathered), flag, context, on_prerequisite),
        None => {
            let asking = Asking::new(manager);
            evaluate_with_big_segments(data, Some(&asking), flag, context, on_prerequisite)
        }
    }
}

/// The detail as the caller gets it: without a value if it has no variation or is of another type.
#[inline]
fn checked<'d, C, D, A>(
    shared: &Shared,
    data: &DataSet,
    flag: &PreparedFlag,
    detail: Detail<'d>,
    question: &Question<'_, C, D, A>,
) -> Detail<'d>
where
    C: ?Sized,
    D: EventDefault + ?Sized,
    A: Fn(&Value) -> bool,
{
    if let ReasonKind::PrerequisiteFailed { key } = &detail.reason.kind {
        warn_if_missing(shared, data, flag, key);
    }
    match (detail.variation_index, detail.value) {
        (Some(_), Some(value)) if (question.accepts)(value) => detail,
        (Some(_), Some(_)) => {
            shared.log.once(
                LogLevel::Warn,
                format_args!(
                    "flag `{}` has a value of another type than was asked for: its default is served",
                    flag.key()
                ),
            );
            Detail::error(ErrorKind::WrongType)
        }
        _ => {
            if detail.reason.error_kind() == Some(ErrorKind::MalformedFlag) {
                shared.log.once(
                    LogLevel::Error,
                    format_args!("flag `{}` contradicts itself: its default is served", flag.key()),
                );
            }
            Detail { value: None, variation_index: None, reason: detail.reason }
        }
    }
}

/// A prerequisite that there is not is somebody's mistake; one that serves something else is daily life.
#[inline(never)]
fn warn_if_missing(shared: &Shared, data: &DataSet, flag: &PreparedFlag, key: &str) {
    if data.flag(key).is_none() {
        shared.log.once(
            LogLevel::Warn,
            format_args!("flag `{}` has the prerequisite `{key}`, but there is no such flag", flag.key()),
        );
    }
}
