//! What an evaluation answers: a value, the variation it is, and why.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// The value, the variation index and why, borrowed from the data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail<'a> {
    /// The value served; none means the caller's default.
    pub value: Option<&'a Value>,
    /// Which of the flag's variations it is, from 0.
    pub variation_index: Option<usize>,
    /// Why.
    pub reason: Reason<'a>,
}

impl<'a> Detail<'a> {
    /// An answer that is no value.
    pub fn error(kind: ErrorKind) -> Self {
        Self { value: None, variation_index: None, reason: ReasonKind::Error(kind).into() }
    }
}

/// Why a value was served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason<'a> {
    /// The step that decided.
    pub kind: ReasonKind<'a>,
    /// Whether the context is in the experiment that the deciding rollout is part of.
    pub in_experiment: bool,
    /// How the big segment store was, if it was asked.
    pub big_segments_status: Option<BigSegmentsStatus>,
}

/// The step that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReasonKind<'a> {
    /// Targeting is off.
    Off,
    /// Nothing matched.
    Fallthrough,
    /// The context's key is a target.
    TargetMatch,
    /// A rule matched.
    RuleMatch {
        /// Its place in the list, from 0.
        index: usize,
        /// Its id; empty if it has none.
        id: Cow<'a, str>,
    },
    /// A prerequisite did not serve what it must.
    PrerequisiteFailed {
        /// That flag's key.
        key: Cow<'a, str>,
    },
    /// No value could be decided.
    Error(ErrorKind),
}

/// Why no value could be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no data yet, or the client is offline.
    ClientNotReady,
    /// No such flag, or it was deleted.
    FlagNotFound,
    /// The context is not valid.
    UserNotSpecified,
    /// The flag contradicts itself.
    MalformedFlag,
    /// The value is of another type than the caller asked for.
    WrongType,
    /// Something unexpected; a store that failed.
    Exception,
}

/// How the big segment store was when it was asked, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BigSegmentsStatus {
    /// It answered with fresh data.
    Healthy,
    /// It answered, but has not been synchronised for a while.
    Stale,
    /// It failed.
    StoreError,
    /// There is none, or the segment has no generation.
    NotConfigured,
}

impl<'a> Reason<'a> {
    /// The same reason, borrowing nothing.
    pub fn into_owned(self) -> Reason<'static> {
        let kind = match self.kind {
            ReasonKind::Off => ReasonKind::Off,
            ReasonKind::Fallthrough => ReasonKind::Fallthrough,
            ReasonKind::TargetMatch => ReasonKind::TargetMatch,
            ReasonKind::RuleMatch { index, id } => {
                ReasonKind::RuleMatch { index, id: Cow::Owned(id.into_owned()) }
            }
            ReasonKind::PrerequisiteFailed { key } => {
                ReasonKind::PrerequisiteFailed { key: Cow::Owned(key.into_owned()) }
            }
            ReasonKind::Error(kind) => ReasonKind::Error(kind),
        };
        Reason { kind, in_experiment: self.in_experiment, big_segments_status: self.big_segments_status }
    }

    /// Why no value could be decided, if none could.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        match self.kind {
            ReasonKind::Error(kind) => Some(kind),
            _ => None,
        }
    }
}

impl<'a> From<ReasonKind<'a>> for Reason<'a> {
    #[inline]
    fn from(kind: ReasonKind<'a>) -> Self {
        Reason { kind, in_experiment: false, big_segments_status: None }
    }
}

impl From<ErrorKind> for Reason<'_> {
    fn from(kind: ErrorKind) -> Self {
        ReasonKind::Error(kind).into()
    }
}

impl ReasonKind<'_> {
    /// The wire spelling, `RULE_MATCH`.
    pub fn as_str(&self) -> &'static str {
        match self {
            ReasonKind::Off => "OFF",
            ReasonKind::Fallthrough => "FALLTHROUGH",
            ReasonKind::TargetMatch => "TARGET_MATCH",
            ReasonKind::RuleMatch { .. } => "RULE_MATCH",
            ReasonKind::PrerequisiteFailed { .. } => "PREREQUISITE_FAILED",
            ReasonKind::Error(_) => "ERROR",
        }
    }
}

impl ErrorKind {
    /// The wire spelling, `FLAG_NOT_FOUND`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::ClientNotReady => "CLIENT_NOT_READY",
            ErrorKind::FlagNotFound => "FLAG_NOT_FOUND",
            ErrorKind::UserNotSpecified => "USER_NOT_SPECIFIED",
            ErrorKind::MalformedFlag => "MALFORMED_FLAG",
            ErrorKind::WrongType => "WRONG_TYPE",
            ErrorKind::Exception => "EXCEPTION",
        }
    }
}

impl BigSegmentsStatus {
    /// The wire spelling, `STORE_ERROR`.
    pub fn as_str(self) -> &'static str {
        match self {
            BigSegmentsStatus::Healthy => "HEALTHY",
            BigSegmentsStatus::Stale => "STALE",
            BigSegmentsStatus::StoreError => "STORE_ERROR",
            BigSegmentsStatus::NotConfigured => "NOT_CONFIGURED",
        }
    }
}

/// The wire form: `{"kind":"RULE_MATCH","ruleIndex":1,"ruleId":"ab12"}`.
impl Serialize for Reason<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind.as_str())?;
        match &self.kind {
            ReasonKind::RuleMatch { index, id } => {
                map.serialize_entry("ruleIndex", index)?;
                if !id.is_empty() {
                    map.serialize_entry("ruleId", id)?;
                }
            }
            ReasonKind::PrerequisiteFailed { key } => map.serialize_entry("prerequisiteKey", key)?,
            ReasonKind::Error(kind) => map.serialize_entry("errorKind", kind.as_str())?,
            ReasonKind::Off | ReasonKind::Fallthrough | ReasonKind::TargetMatch => {}
        }
        if self.in_experiment {
            map.serialize_entry("inExperiment", &true)?;
        }
        if let Some(status) = self.big_segments_status {
            map.serialize_entry("bigSegmentsStatus", status.as_str())?;
        }
        map.end()
    }
}
