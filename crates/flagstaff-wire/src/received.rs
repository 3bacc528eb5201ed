//! Event batches as a service receives them: any schema from 1 to 4, users and contexts, from any SDK.
//!
//! A sender writes one shape; a receiver must read what fifteen years of SDKs wrote. So reading here is
//! tolerant where writing is strict:
//!
//! - unknown kinds and properties are passed over; null is the same as absent;
//! - whole numbers may be written as floats, keys as numbers; a property of any other wrong type is absent;
//! - an event that cannot be read at all does not spoil the others of its batch.
//!
//! [`check_batch`] is what the door asks before it says yes: is this an array of JSON objects, nested no
//! deeper than can be read later? It builds nothing. [`read_batch`] does the reading, later, and borrows
//! from the batch.
//!
//! Source: protocol reference 4.1 (contexts), 4.2 (summary), 4.5 (users) and 4.6 (schemas).

mod context;
mod lenient;

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use context::ReceivedMember;
use lenient::{Integer, Object, Text, Texts};

/// The deepest nesting inside an event that is accepted; readers of JSON commonly stop at 128.
pub const MAX_DEPTH: usize = 100;

/// The schema of a batch whose `X-LaunchDarkly-Event-Schema` header is missing.
pub const OLDEST_SCHEMA: u32 = 1;

/// From this schema on, the sender has counted its evaluations in summary events.
pub const FIRST_SUMMARISED_SCHEMA: u32 = 3;

/// Reads the schema header. A missing or unreadable one means the oldest schema.
pub fn schema(header: Option<&str>) -> u32 {
    header.and_then(|text| text.trim().parse().ok()).filter(|schema| *schema > 0).unwrap_or(OLDEST_SCHEMA)
}

/// Whether the receiver has to count the batch's feature events itself: the sender said so by header,
/// or its schema is older than summaries.
pub fn is_unsummarised(schema: u32, header: Option<&str>) -> bool {
    schema < FIRST_SUMMARISED_SCHEMA || header.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// Why a batch was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The body has no JSON in it.
    #[error("the body is empty; send a JSON array of events")]
    Empty,
    /// Not JSON, or not an array of objects.
    #[error("the body is not a JSON array of events: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An event is nested too deep.
    #[error("event {index} is nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// The event's place in the array, from 0.
        index: usize,
    },
}

/// Checks that `body` is a JSON array of objects, and returns how many there are.
///
/// # Errors
/// If it is empty, not JSON, no array, holds anything but objects, or one is nested too deep.
pub fn check_batch(body: &[u8]) -> Result<usize, BatchError> {
    if body.trim_ascii().is_empty() {
        return Err(BatchError::Empty);
    }
    let mut count = 0;
    let mut too_deep = None;
    for_each_event(body, &mut |event| {
        if too_deep.is_none() && depth(event.get()) > MAX_DEPTH {
            too_deep = Some(count);
        }
        count += 1;
        ControlFlow::Continue(())
    })?;
    match too_deep {
        Some(index) => Err(BatchError::TooDeep { index }),
        None => Ok(count),
    }
}

/// Reads the events of `body` in order. An event that cannot be read is passed on as its error.
///
/// # Errors
/// If the body as a whole is not an array of objects; [`check_batch`] finds that beforehand.
pub fn read_batch<'a>(
    body: &'a [u8],
    mut on_event: impl FnMut(Result<ReceivedEvent<'a>, serde_json::Error>),
) -> Result<(), serde_json::Error> {
    for_each_event(body, &mut |event| {
        on_event(serde_json::from_str(event.get()));
        ControlFlow::Continue(())
    })
}

/// The first events of `body` as they are written, as many as are no longer than `most` bytes together. No more is
/// read than that.
pub fn first_events(body: &[u8], most: usize) -> Vec<&RawValue> {
    let (mut first, mut size) = (Vec::new(), 0);
    // To stop before the end is an error; whether there are others, `check_batch` says.
    let _ = for_each_event(body, &mut |event| {
        size += event.get().len();
        if size > most {
            return ControlFlow::Break(());
        }
        first.push(event);
        ControlFlow::Continue(())
    });
    first
}

/// What an event reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivedKind {
    /// One evaluation.
    Feature,
    /// One evaluation, while debugging.
    Debug,
    /// A context first seen.
    Index,
    /// A declared context.
    Identify,
    /// A `track` call.
    Custom,
    /// Counts of evaluations.
    Summary,
    /// A click or a page view that a goal asked for.
    Goal,
    /// A step of a migration.
    MigrationOperation,
    /// Two user keys that are one user.
    Alias,
    /// A kind this version does not know.
    Unknown,
}

/// One event, reduced to what a service counts.
#[derive(Debug)]
pub struct ReceivedEvent<'a> {
    /// What it reports.
    pub kind: ReceivedKind,
    /// When, in Unix milliseconds, by the sender's clock.
    pub created_at_ms: Option<i64>,
    /// The flag key of an evaluation, the event key of a custom event or goal.
    pub key: Option<Cow<'a, str>>,
    /// The variation index of an evaluation.
    pub variation: Option<i64>,
    /// The flag version of an evaluation; absent for an unknown flag.
    pub version: Option<i64>,
    /// Why that variation was served, if the evaluation says.
    pub reason: Option<ReceivedReason<'a>>,
    /// Who it is about.
    pub about: About<'a>,
    /// The counts of a summary, empty for other kinds.
    pub counts: Vec<ReceivedCount<'a>>,
    /// The least creation date of the summarised evaluations.
    pub start_ms: Option<i64>,
    /// The greatest one.
    pub end_ms: Option<i64>,
}

/// Who an event is about, as far as it says.
#[derive(Debug)]
pub enum About<'a> {
    /// Nobody.
    Nobody,
    /// Whoever has these keys: pairs of kind and key.
    Keys(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    /// A context in full: [`ReceivedMember::of_context`] reads it.
    Context(&'a RawValue),
    /// A user-era user in full: [`ReceivedMember::of_user`] reads it.
    User(&'a RawValue),
}

/// Why a variation was served.
#[derive(Debug, PartialEq, Eq)]
pub struct ReceivedReason<'a> {
    /// As it is on the wire, like `RULE_MATCH`.
    pub kind: Cow<'a, str>,
    /// The rule that matched, the prerequisite that failed, or the kind of error.
    pub detail: Option<Cow<'a, str>>,
}

/// One counter of a summary.
#[derive(Debug, PartialEq, Eq)]
pub struct ReceivedCount<'a> {
    /// The flag key.
    pub flag: Cow<'a, str>,
    /// The variation index; none if no variation was served.
    pub variation: Option<i64>,
    /// The flag version; none if the flag is unknown.
    pub version: Option<i64>,
    /// How many evaluations.
    pub count: u64,
}

/// More than any SDK counts in one interval; a greater number is a mistake, and would overflow sums.
const MAX_COUNT: i64 = 1 << 40;

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(default, rename = "creationDate")]
    creation_date: Integer,
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(default)]
    variation: Integer,
    #[serde(default)]
    version: Integer,
    #[serde(borrow, default)]
    reason: Object<'a, Text<'a>>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "contextKeys")]
    context_keys: Texts<'a>,
    #[serde(borrow, default)]
    user: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "userKey")]
    user_key: Text<'a>,
    #[serde(borrow, default, rename = "contextKind")]
    context_kind: Text<'a>,
    #[serde(borrow, default)]
    features: Object<'a, RawFeature>,
    #[serde(default, rename = "startDate")]
    start_date: Integer,
    #[serde(default, rename = "endDate")]
    end_date: Integer,
}

#[derive(Default, Deserialize)]
struct RawFeature {
    #[serde(default, deserialize_with = "lenient::list")]
    counters: Vec<RawCounter>,
}

#[derive(Default, Deserialize)]
struct RawCounter {
    #[serde(default)]
    variation: Integer,
    #[serde(default)]
    version: Integer,
    #[serde(default)]
    count: Integer,
}

impl<'de> Deserialize<'de> for ReceivedEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(RawEvent::deserialize(deserializer)?.into())
    }
}

impl<'a> From<RawEvent<'a>> for ReceivedEvent<'a> {
    fn from(raw: RawEvent<'a>) -> Self {
        let kind = ReceivedKind::of(raw.kind.0.as_deref());
        let about = about(raw.context, raw.user, raw.context_keys, raw.user_key, raw.context_kind);
        Self {
            kind,
            created_at_ms: raw.creation_date.0,
            key: raw.key.0,
            variation: raw.variation.0,
            version: raw.version.0,
            reason: if kind == ReceivedKind::Feature { reason(raw.reason) } else { None },
            about,
            counts: if kind == ReceivedKind::Summary { counts(raw.features) } else { Vec::new() },
            start_ms: raw.start_date.0,
            end_ms: raw.end_date.0,
        }
    }
}

impl ReceivedKind {
    fn of(text: Option<&str>) -> Self {
        match text {
            Some("feature") => Self::Feature,
            Some("debug") => Self::Debug,
            Some("index") => Self::Index,
            Some("identify") => Self::Identify,
            Some("custom") => Self::Custom,
            Some("summary") => Self::Summary,
            Some("click" | "pageview" | "click_pageview") => Self::Goal,
            Some("migration_op") => Self::MigrationOperation,
            Some("alias") => Self::Alias,
            _ => Self::Unknown,
        }
    }
}

/// The fullest of the ways in which the event names somebody.
fn about<'a>(
    context: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    context_keys: Texts<'a>,
    user_key: Text<'a>,
    context_kind: Text<'a>,
) -> About<'a> {
    if let Some(context) = context {
        return About::Context(context);
    }
    if let Some(user) = user {
        return About::User(user);
    }
    if !context_keys.0.is_empty() {
        return About::Keys(context_keys.0);
    }
    match user_key.0 {
        Some(key) if context_kind.0.as_deref() != Some("anonymousUser") => {
            About::Keys(vec![(Cow::Borrowed("user"), key)])
        }
        _ => About::Nobody,
    }
}

fn reason<'a>(reason: Object<'a, Text<'a>>) -> Option<ReceivedReason<'a>> {
    let mut texts: Vec<_> = reason.0.into_iter().filter_map(|(name, text)| Some((name, text.0?))).collect();
    let mut take = |name: &str| {
        let place = texts.iter().position(|(known, _)| known == name)?;
        Some(texts.swap_remove(place).1)
    };
    let kind = take("kind")?;
    let detail = match &*kind {
        "RULE_MATCH" => take("ruleId"),
        "PREREQUISITE_FAILED" => take("prerequisiteKey"),
        "ERROR" => take("errorKind"),
        _ => None,
    };
    Some(ReceivedReason { kind, detail })
}

fn counts(features: Object<'_, RawFeature>) -> Vec<ReceivedCount<'_>> {
    let mut counts = Vec::with_capacity(features.0.len());
    for (flag, feature) in features.0 {
        for counter in feature.counters {
            let count = counter.count.0.unwrap_or(0).clamp(0, MAX_COUNT).unsigned_abs();
            if count > 0 {
                let (variation, version) = (counter.variation.0, counter.version.0);
                counts.push(ReceivedCount { flag: flag.clone(), variation, version, count });
            }
        }
    }
    counts
}

type OnEvent<'f, 'a> = &'f mut dyn FnMut(&'a RawValue) -> ControlFlow<()>;

/// Passes each element of the array in `body` on, until it is told to stop; anything but an object is an error.
fn for_each_event<'a>(body: &'a [u8], on_event: OnEvent<'_, 'a>) -> Result<(), serde_json::Error> {
    struct Events<'f, 'a>(OnEvent<'f, 'a>);

    impl<'a> Visitor<'a> for Events<'_, 'a> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("an array of events")
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
            let mut index = 0;
            while let Some(event) = elements.next_element::<&'a RawValue>()? {
                if !event.get().starts_with('{') {
                    return Err(serde::de::Error::custom(format_args!("event {index} is not a JSON object")));
                }
                if (self.0)(event).is_break() {
                    return Ok(());
                }
                index += 1;
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(body);
    deserializer.deserialize_seq(Events(on_event))?;
    deserializer.end()
}

/// How deep valid JSON text is nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
