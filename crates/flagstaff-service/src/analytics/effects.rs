//! What a few batches add up to, in memory, before it is written in one go.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use flagstaff_wire::received::{About, ReceivedEvent, ReceivedKind, ReceivedMember, read_batch};
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

use super::country::Countries;
use super::recent::Recent;
use super::terms::terms_of;
use crate::store::analytics::batch::StoredBatch;

/// In the database, no variation was served, or the flag is unknown and has no version.
pub const NONE: i64 = -1;

/// No flag is evaluated more often in a minute. Whoever says so says it only for himself: what others count stays
/// within what the database can hold.
pub const MOST_COUNTED: i64 = 1 << 40;

/// Why a variation is served; whatever else stands there is no reason.
const REASONS: [&str; 6] =
    ["OFF", "FALLTHROUGH", "TARGET_MATCH", "RULE_MATCH", "PREREQUISITE_FAILED", "ERROR"];

/// Keys longer than this, of flags, events and contexts, are not kept.
const MAX_KEY: usize = 1024;

/// Attributes that make a longer JSON text than this are not kept; the context is.
const MAX_ATTRIBUTES: usize = 64 * 1024;

/// How far ahead of ours a sender's clock may be before its times are replaced by ours.
const MAX_AHEAD_MS: i64 = 5 * 60 * 1000;

/// How far in the past an event may be: no program holds events back for longer.
const MAX_BEHIND_MS: i64 = 90 * 24 * 60 * 60 * 1000;

type Map<K, V> = HashMap<K, V, RandomState>;

/// What some batches add up to. Applying it and removing those batches is one transaction.
#[derive(Debug, Default)]
pub struct Effects {
    /// The batches that were added up.
    pub batches: Vec<i64>,
    /// Counts by environment.
    pub environments: Map<i64, EnvironmentEffects>,
    /// Events that could not be read.
    pub unreadable: u64,
}

/// What happened in one environment.
#[derive(Debug, Default)]
pub struct EnvironmentEffects {
    /// Evaluations by flag key.
    pub evaluations: Map<Box<str>, Map<Counted, i64>>,
    /// Evaluations that say why, by flag key.
    pub reasons: Map<Box<str>, Map<Reasoned, i64>>,
    /// Custom events by key, then by minute.
    pub custom: Map<Box<str>, Map<i64, i64>>,
    /// Contexts that may be remembered, by kind and key.
    pub contexts: Map<(String, String), SeenContext>,
    /// Contexts that may not, by kind and key.
    pub anonymous: Map<(String, String), SeenAnonymous>,
}

/// What evaluations are counted by, within a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counted {
    /// The Unix minute.
    pub minute: i64,
    /// The variation index, or [`NONE`].
    pub variation: i64,
    /// The flag version, or [`NONE`].
    pub version: i64,
}

/// What evaluations that say why are counted by, within a flag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reasoned {
    /// The Unix minute.
    pub minute: i64,
    /// The variation index, or [`NONE`].
    pub variation: i64,
    /// The kind of the reason, and after a colon what it names: `RULE_MATCH:RULE-ID`.
    pub reason: String,
}

/// What is known of a context after some events.
#[derive(Debug, PartialEq, Eq)]
pub struct SeenContext {
    /// The first of the events.
    pub first_seen_ms: i64,
    /// The last of them.
    pub last_seen_ms: i64,
    /// The mark of the text it was read from: see the file `recent`.
    pub mark: u64,
    /// The context as the last event that had it in full says; none if all had only its key.
    pub full: Option<FullContext>,
}

/// An anonymous context after some events.
#[derive(Debug, PartialEq, Eq)]
pub struct SeenAnonymous {
    /// The last of them.
    pub last_seen_ms: i64,
    /// The mark of the text it was read from.
    pub mark: u64,
}

/// A context in the form in which it is stored.
#[derive(Debug, PartialEq, Eq)]
pub struct FullContext {
    /// When it was seen like this.
    pub seen_ms: i64,
    /// The attributes as JSON text.
    pub attributes: String,
    /// The redacted attributes as JSON text.
    pub redacted: String,
    /// What it is found by.
    pub terms: Vec<String>,
}

impl Effects {
    /// Adds up `batches`. Contexts that `recent` holds are passed over. Users who come without a country are
    /// where `countries` says.
    pub fn of(batches: &[StoredBatch], recent: &Mutex<Recent>, countries: Option<&Countries>) -> Self {
        let mut effects = Self::default();
        let mut added = recent.lock().unwrap_or_else(PoisonError::into_inner).empty_like();
        for batch in batches {
            effects.batches.push(batch.id);
            let environment = effects.environments.entry(batch.environment_id).or_default();
            let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
            let mut known = Known { written: &recent, added: &mut added, countries };
            let mut unreadable = 0;
            let read = read_batch(&batch.body, |event| match event {
                Ok(event) => environment.add(batch, &event, &mut known),
                Err(_) => unreadable += 1,
            });
            effects.unreadable += unreadable + u64::from(read.is_err());
        }
        effects
    }

    /// Notes what is now written.
    pub fn note_written(&self, recent: &Mutex<Recent>) {
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (environment_id, environment) in &self.environments {
            for ((kind, key), seen) in &environment.contexts {
                // What says nothing but the key does not replace what says more.
                let in_full = seen.full.is_some();
                let context = if in_full { recent.mark(*environment_id, (kind, key)) } else { seen.mark };
                recent.note(seen.mark, context, seen.last_seen_ms);
            }
            for ((kind, key), seen) in &environment.anonymous {
                let context = recent.mark(*environment_id, (kind, key));
                recent.note(seen.mark, context, seen.last_seen_ms);
            }
        }
    }
}

/// Contexts of which seeing them again says nothing new.
struct Known<'r> {
    /// Those that were written a moment ago.
    written: &'r Recent,
    /// Those that stand in this sum already, just as they are.
    added: &'r mut Recent,
    /// Where users are.
    countries: Option<&'r Countries>,
}

impl Known<'_> {
    fn mark(&self, environment_id: i64, text: impl Hash) -> u64 {
        self.written.mark(environment_id, text)
    }

    fn holds(&self, mark: u64, seen_ms: i64) -> bool {
        self.written.holds(mark, seen_ms) || self.added.holds(mark, seen_ms)
    }
}

impl EnvironmentEffects {
    fn add(&mut self, batch: &StoredBatch, event: &ReceivedEvent<'_>, known: &mut Known<'_>) {
        match event.kind {
            ReceivedKind::Summary => {
                let minute = minute(believable(event.start_ms, batch.received_ms));
                for count in &event.counts {
                    self.count(&count.flag, minute, count.variation, count.version, count.count);
                }
            }
            ReceivedKind::Feature => {
                let minute = minute(believable(event.created_at_ms, batch.received_ms));
                if let Some(key) = &event.key {
                    if batch.unsummarised {
                        self.count(key, minute, event.variation, event.version, 1);
                    }
                    self.count_reason(key, minute, event);
                }
            }
            ReceivedKind::Custom | ReceivedKind::Goal => {
                let minute = minute(believable(event.created_at_ms, batch.received_ms));
                if let Some(key) = event.key.as_deref().filter(|key| is_keepable(key)) {
                    *entry(&mut self.custom, key).entry(minute).or_default() += 1;
                }
            }
            _ => {}
        }
        // Alias events say that two keys are one user; neither is described by it.
        if event.kind != ReceivedKind::Alias {
            self.see(batch, event, known);
        }
    }

    fn count(&mut self, flag: &str, minute: i64, variation: Option<i64>, version: Option<i64>, count: u64) {
        if is_keepable(flag) {
            let counted =
                Counted { minute, variation: variation.unwrap_or(NONE), version: version.unwrap_or(NONE) };
            let total = entry(&mut self.evaluations, flag).entry(counted).or_default();
            *total = total.saturating_add_unsigned(count).min(MOST_COUNTED);
        }
    }

    fn count_reason(&mut self, flag: &str, minute: i64, event: &ReceivedEvent<'_>) {
        let Some(reason) = &event.reason else { return };
        if !is_keepable(flag) || !REASONS.contains(&&*reason.kind) {
            return;
        }
        let reason = match reason.detail.as_deref().filter(|detail| is_keepable(detail)) {
            Some(detail) => format!("{}:{detail}", reason.kind),
            None => reason.kind.to_string(),
        };
        let reasoned = Reasoned { minute, variation: event.variation.unwrap_or(NONE), reason };
        *entry(&mut self.reasons, flag).entry(reasoned).or_default() += 1;
    }

    fn see(&mut self, batch: &StoredBatch, event: &ReceivedEvent<'_>, known: &mut Known<'_>) {
        let seen_ms = believable(event.created_at_ms.or(event.end_ms), batch.received_ms);
        // Nobody is seen in the future.
        let seen_ms = seen_ms.min(batch.received_ms);
        let (text, members) = match &event.about {
            About::Nobody => return,
            About::Keys(keys) => {
                for (kind, key) in keys.iter().filter(|(kind, key)| is_keepable(kind) && is_keepable(key)) {
                    let mark = known.mark(batch.environment_id, ("key only", kind, key));
                    if !known.holds(mark, seen_ms) {
                        self.touch(kind, key, seen_ms).mark = mark;
                        known.added.note(mark, mark, seen_ms);
                    }
                }
                return;
            }
            About::Context(context) => {
                (context.get(), &(|| ReceivedMember::of_context(context)) as &dyn Fn() -> Vec<ReceivedMember>)
            }
            About::User(user) => (
                user.get(),
                &(|| ReceivedMember::of_user(user).into_iter().collect()) as &dyn Fn() -> Vec<ReceivedMember>,
            ),
        };
        let mark = known.mark(batch.environment_id, text);
        if known.holds(mark, seen_ms) {
            return;
        }
        for member in
            members().into_iter().filter(|member| is_keepable(&member.kind) && is_keepable(&member.key))
        {
            let context = known.mark(batch.environment_id, (&member.kind, &member.key));
            if self.remember(member, mark, seen_ms, known.countries) {
                known.added.note(mark, context, seen_ms);
            }
        }
    }

    fn touch(&mut self, kind: &str, key: &str, seen_ms: i64) -> &mut SeenContext {
        let seen = self.contexts.entry((kind.to_owned(), key.to_owned())).or_insert(SeenContext {
            first_seen_ms: seen_ms,
            last_seen_ms: seen_ms,
            mark: 0,
            full: None,
        });
        seen.first_seen_ms = seen.first_seen_ms.min(seen_ms);
        seen.last_seen_ms = seen.last_seen_ms.max(seen_ms);
        seen
    }

    /// Says whether this is what is now known of the context. Of one that was both anonymous and not, the
    /// later event decides.
    fn remember(
        &mut self,
        mut member: ReceivedMember,
        mark: u64,
        seen_ms: i64,
        countries: Option<&Countries>,
    ) -> bool {
        if member.anonymous {
            let context = (member.kind, member.key);
            self.contexts.remove(&context);
            self.anonymous.insert(context, SeenAnonymous { last_seen_ms: seen_ms, mark });
            return true;
        }
        let seen = self.touch(&member.kind, &member.key, seen_ms);
        let is_latest = seen.full.as_ref().is_none_or(|full| full.seen_ms <= seen_ms);
        if is_latest {
            seen.mark = mark;
            if let Some(countries) =
                countries.filter(|_| member.kind == "user" && !member.keeps_private("country"))
            {
                countries.add_to(&mut member.attributes);
            }
            let full = FullContext::of(&member, seen_ms);
            seen.full = Some(full);
        }
        self.anonymous.remove(&(member.kind, member.key));
        is_latest
    }
}

impl FullContext {
    fn of(member: &ReceivedMember, seen_ms: i64) -> Self {
        let names = ["name", "firstName", "lastName"];
        let terms = terms_of(
            &member.key,
            member.text("email"),
            names.into_iter().filter_map(|name| member.text(name)),
        );
        let mut attributes = json(&member.attributes);
        let mut redacted = json(&member.redacted);
        if attributes.len() > MAX_ATTRIBUTES {
            attributes = "{}".to_owned();
        }
        if redacted.len() > MAX_ATTRIBUTES {
            redacted = "[]".to_owned();
        }
        Self { seen_ms, attributes, redacted, terms }
    }
}

/// What an anonymous context is counted by.
pub fn anonymous_hash(kind: &str, key: &str) -> i64 {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(key).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// The Unix minute of an instant.
pub fn minute(at_ms: i64) -> i64 {
    at_ms.div_euclid(60_000)
}

/// The sender's time, unless its clock is clearly wrong: then ours.
fn believable(sent_ms: Option<i64>, received_ms: i64) -> i64 {
    let plausible = received_ms.saturating_sub(MAX_BEHIND_MS)..=received_ms.saturating_add(MAX_AHEAD_MS);
    sent_ms.filter(|sent| plausible.contains(sent)).unwrap_or(received_ms)
}

/// Whether something by this key may be kept: PostgreSQL has no NUL in text, and nobody has such keys.
pub fn is_keepable(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY && !key.contains('\0')
}

fn entry<'m, V: Default>(map: &'m mut Map<Box<str>, V>, key: &str) -> &'m mut V {
    // Looked up twice when new, so that nothing is allocated when not.
    if !map.contains_key(key) {
        map.insert(key.into(), V::default());
    }
    map.get_mut(key).unwrap_or_else(|| unreachable!("it was put there"))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("JSON has JSON: {error}"))
}
