//! Every flag for one context: what a page is started with, and what browsers and mobile programs
//! are answered.
//!
//! Source: the protocol's *Bootstrap* and *Evaluation endpoints*, which are one algorithm with two
//! spellings. Values, keys and reasons are borrowed from the data set; one list is allocated.

mod written;

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use flagstaff_eval::big_segments::BigSegments;
use flagstaff_eval::{ContextRead, DataSet, PreparedFlag, Reason, Value, evaluate_with_big_segments};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What to include.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllFlagsOptions {
    /// Say why, for every flag.
    pub with_reasons: bool,
    /// Only flags that browsers may see.
    pub client_side_only: bool,
    /// Leave out version and reason of flags of which no event will be made.
    pub details_only_for_tracked_flags: bool,
}

/// Every flag for one context. Serialises as the bootstrap form, with `$flagsState` and `$valid`;
/// [`AllFlags::write_evaluations`] gives the other.
///
/// `F` is how a flag is held: borrowed from the data set, or shared with it.
#[derive(Clone, Debug)]
pub struct AllFlags<'a, F = &'a PreparedFlag> {
    valid: bool,
    options: AllFlagsOptions,
    now_ms: i64,
    flags: Vec<FlagState<'a, F>>,
    /// The prerequisites of all flags, one after the other.
    prerequisites: Vec<Cow<'a, str>>,
}

/// One flag for one context.
#[derive(Clone, Debug)]
pub struct FlagState<'a, F = &'a PreparedFlag> {
    flag: F,
    variation: Option<usize>,
    reason: Reason<'a>,
    is_experiment: bool,
    prerequisites_start: usize,
    prerequisites_end: usize,
}

impl<'a> AllFlags<'a> {
    /// Evaluates every flag that browsers may see, or every flag at all, as `options` say. No event
    /// comes of it. `now_ms` tells debugging that is over from debugging that goes on.
    pub fn of<C: ContextRead + ?Sized>(
        data: &'a DataSet,
        context: &C,
        options: AllFlagsOptions,
        now_ms: i64,
    ) -> Self {
        Self::of_those(data, None, context, options, now_ms, |flag| {
            !options.client_side_only || flag.availability().using_environment_id
        })
    }

    /// As [`AllFlags::of`], of the flags that `included` holds for: those mobile programs may see, say. Big
    /// segments are asked for, if there is somebody to ask.
    pub fn of_those<C: ContextRead + ?Sized>(
        data: &'a DataSet,
        big_segments: Option<&dyn BigSegments>,
        context: &C,
        options: AllFlagsOptions,
        now_ms: i64,
        included: impl Fn(&PreparedFlag) -> bool,
    ) -> Self {
        let flags = data.flags().filter(|flag| included(flag));
        Self::collect(data, flags, big_segments, context, options, now_ms, |flag| flag)
    }

    /// As [`AllFlags::of_those`], of the flags among those with these keys: no other is looked at.
    pub fn of_keys<'k, C: ContextRead + ?Sized>(
        data: &'a DataSet,
        big_segments: Option<&dyn BigSegments>,
        context: &C,
        options: AllFlagsOptions,
        now_ms: i64,
        keys: impl IntoIterator<Item = &'k str>,
        included: impl Fn(&PreparedFlag) -> bool,
    ) -> Self {
        let flags = keys.into_iter().filter_map(|key| data.flag(key)).filter(|flag| included(flag));
        Self::collect(data, flags, big_segments, context, options, now_ms, |flag| flag)
    }
}

impl AllFlags<'static, Arc<PreparedFlag>> {
    /// As [`AllFlags::of`], to keep: flags are shared with the data set, which may change meanwhile.
    /// Big segments are asked for, if there is somebody to ask.
    pub fn owned<C: ContextRead + ?Sized>(
        data: &DataSet,
        big_segments: Option<&dyn BigSegments>,
        context: &C,
        options: AllFlagsOptions,
        now_ms: i64,
    ) -> Self {
        let included =
            |flag: &PreparedFlag| !options.client_side_only || flag.availability().using_environment_id;
        let flags = data.flags().filter(|flag| included(flag));
        let all = AllFlags::collect(data, flags, big_segments, context, options, now_ms, Arc::clone);
        let flags = all.flags.into_iter().map(|state| FlagState {
            flag: state.flag,
            variation: state.variation,
            reason: state.reason.into_owned(),
            is_experiment: state.is_experiment,
            prerequisites_start: state.prerequisites_start,
            prerequisites_end: state.prerequisites_end,
        });
        let prerequisites = all.prerequisites.into_iter().map(|key| Cow::Owned(key.into_owned()));
        Self { valid: true, options, now_ms, flags: flags.collect(), prerequisites: prerequisites.collect() }
    }
}

impl<'a, F> AllFlags<'a, F>
where
    F: Deref<Target = PreparedFlag>,
{
    /// No flags, because there is no data or no context: `$valid` is false.
    pub fn not_valid() -> Self {
        Self {
            valid: false,
            options: AllFlagsOptions::default(),
            now_ms: 0,
            flags: Vec::new(),
            prerequisites: Vec::new(),
        }
    }

    fn collect<C: ContextRead + ?Sized>(
        data: &'a DataSet,
        included: impl Iterator<Item = &'a Arc<PreparedFlag>>,
        big_segments: Option<&dyn BigSegments>,
        context: &C,
        options: AllFlagsOptions,
        now_ms: i64,
        hold: impl Fn(&'a Arc<PreparedFlag>) -> F,
    ) -> Self {
        let most = included.size_hint().1.unwrap_or_else(|| data.flag_entries().count());
        let mut flags = Vec::with_capacity(most);
        let mut prerequisites: Vec<Cow<'a, str>> = Vec::new();
        for flag in included {
            let prerequisites_start = prerequisites.len();
            let detail = evaluate_with_big_segments(data, big_segments, flag, context, &mut |result| {
                if std::ptr::eq(result.prerequisite_of, &**flag) {
                    prerequisites.push(result.flag.key().into());
                }
            });
            flags.push(FlagState {
                flag: hold(flag),
                variation: detail.variation_index,
                is_experiment: flag.is_experiment(&detail.reason),
                reason: detail.reason,
                prerequisites_start,
                prerequisites_end: prerequisites.len(),
            });
        }
        Self { valid: true, options, now_ms, flags, prerequisites }
    }

    /// Whether the flags could be evaluated at all.
    pub fn is_valid(&self) -> bool {
        self.valid
    }

    /// What was asked for.
    pub fn options(&self) -> AllFlagsOptions {
        self.options
    }

    /// The flags, in no particular order.
    pub fn flags(&self) -> &[FlagState<'a, F>] {
        &self.flags
    }

    /// The flag with this key. Looks through the list: for one or two, not for each.
    pub fn flag(&self, key: &str) -> Option<&FlagState<'a, F>> {
        self.flags.iter().find(|state| state.key() == key)
    }

    /// The prerequisites of a flag of this list that were evaluated on the way to its value, in order.
    pub fn prerequisites_of(&self, state: &FlagState<'a, F>) -> &[Cow<'a, str>] {
        &self.prerequisites[state.prerequisites_start..state.prerequisites_end]
    }

    /// Whether version and reason of a flag of this list are left out: see
    /// [`AllFlagsOptions::details_only_for_tracked_flags`].
    pub fn leaves_out_details(&self, state: &FlagState<'a, F>) -> bool {
        self.options.details_only_for_tracked_flags
            && !state.track_events()
            && state.flag.debug_events_until_date().is_none_or(|until| until <= self.now_ms)
    }

    /// Whether the reason of a flag of this list is said.
    pub fn says_reason(&self, state: &FlagState<'a, F>) -> bool {
        state.track_reason() || (self.options.with_reasons && !self.leaves_out_details(state))
    }

    /// One flag of this list as a change of what [`AllFlags::write_evaluations`] writes, with its key.
    pub fn change<'s>(
        &'s self,
        state: &'s FlagState<'a, F>,
        environment_version: u64,
    ) -> impl Serialize + use<'s, 'a, F> {
        Details { all: self, state, shape: Shape::Evaluation { environment_version, with_key: true } }
    }

    /// One flag of this list as it stands in what [`AllFlags::write_evaluations`] writes.
    pub fn evaluation<'s>(
        &'s self,
        state: &'s FlagState<'a, F>,
        environment_version: u64,
    ) -> impl Serialize + use<'s, 'a, F> {
        Details { all: self, state, shape: Shape::Evaluation { environment_version, with_key: false } }
    }

    /// The oldest form that client-side SDKs poll: an object of values by flag key.
    pub fn values(&self) -> impl Serialize + '_ {
        Values(self)
    }
}

impl<'a, F> FlagState<'a, F>
where
    F: Deref<Target = PreparedFlag>,
{
    /// The flag's key.
    pub fn key(&self) -> &str {
        self.flag.key()
    }

    /// The flag.
    pub fn flag(&self) -> &PreparedFlag {
        &self.flag
    }

    /// The value; none if the caller's default is to be used.
    pub fn value(&self) -> Option<&Value> {
        self.flag.variations().get(self.variation?)
    }

    /// The variation index.
    pub fn variation_index(&self) -> Option<usize> {
        self.variation
    }

    /// Why.
    pub fn reason(&self) -> &Reason<'a> {
        &self.reason
    }

    /// Whether each evaluation is reported by an event of its own.
    pub fn track_events(&self) -> bool {
        self.flag.track_events() || self.is_experiment
    }

    /// Whether that event says why.
    pub fn track_reason(&self) -> bool {
        self.is_experiment
    }
}

/// The bootstrap form.
impl<F> Serialize for AllFlags<'_, F>
where
    F: Deref<Target = PreparedFlag>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for state in &self.flags {
            map.serialize_entry(state.key(), &state.value())?;
        }
        map.serialize_entry("$flagsState", &FlagsState(self))?;
        map.serialize_entry("$valid", &self.valid)?;
        map.end()
    }
}

struct FlagsState<'s, 'a, F>(&'s AllFlags<'a, F>);

impl<F> Serialize for FlagsState<'_, '_, F>
where
    F: Deref<Target = PreparedFlag>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(all) = *self;
        serializer.collect_map(
            all.flags.iter().map(|state| (state.key(), Details { all, state, shape: Shape::Bootstrap })),
        )
    }
}

struct Values<'s, 'a, F>(&'s AllFlags<'a, F>);

impl<F> Serialize for Values<'_, '_, F>
where
    F: Deref<Target = PreparedFlag>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.flags.iter().map(|state| (state.key(), state.value())))
    }
}

/// What is said of one flag.
struct Details<'s, 'a, F> {
    all: &'s AllFlags<'a, F>,
    state: &'s FlagState<'a, F>,
    shape: Shape,
}

/// Where it is said.
#[derive(Clone, Copy)]
enum Shape {
    /// Below `$flagsState`; the value stands elsewhere.
    Bootstrap,
    /// With all that a client-side SDK has to know.
    Evaluation { environment_version: u64, with_key: bool },
}

impl<F> Serialize for Details<'_, '_, F>
where
    F: Deref<Target = PreparedFlag>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { all, state, shape } = *self;
        let mut map = serializer.serialize_map(None)?;
        if let Shape::Evaluation { with_key: true, .. } = shape {
            map.serialize_entry("key", state.key())?;
        }
        if matches!(shape, Shape::Evaluation { .. }) {
            map.serialize_entry("value", &state.value())?;
        }
        if let Some(variation) = state.variation {
            map.serialize_entry("variation", &variation)?;
        }
        match shape {
            Shape::Evaluation { environment_version, .. } => {
                map.serialize_entry("version", &environment_version)?;
                map.serialize_entry("flagVersion", &state.flag.version())?;
            }
            Shape::Bootstrap if all.leaves_out_details(state) => {}
            Shape::Bootstrap => map.serialize_entry("version", &state.flag.version())?,
        }
        if state.track_events() {
            map.serialize_entry("trackEvents", &true)?;
        }
        if state.track_reason() {
            map.serialize_entry("trackReason", &true)?;
        }
        if all.says_reason(state) {
            map.serialize_entry("reason", &state.reason)?;
        }
        if let Some(until) = state.flag.debug_events_until_date() {
            map.serialize_entry("debugEventsUntilDate", &until)?;
        }
        let prerequisites = all.prerequisites_of(state);
        if !prerequisites.is_empty() {
            map.serialize_entry("prerequisites", prerequisites)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::Context;
    use flagstaff_eval::model::FlagData;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn data() -> DataSet {
        let flags = json!({"flags": {
            "plain": {"key": "plain", "version": 10, "on": true, "variations": ["a", "b"],
                "fallthrough": {"variation": 1}, "clientSide": true, "prerequisites": [
                    {"key": "base", "variation": 0}, {"key": "off", "variation": 0}, {"key": "base", "variation": 0}]},
            "base": {"key": "base", "version": 1, "on": true, "variations": [true], "fallthrough": {"variation": 0},
                "trackEventsFallthrough": true},
            "off": {"key": "off", "version": 2, "variations": [1], "debugEventsUntilDate": NOW + 1},
            "gone": {"key": "gone", "version": 3, "deleted": true},
            "bad": {"key": "bad", "version": 4, "on": true, "variations": [], "fallthrough": {"variation": 0},
                "trackEvents": true, "debugEventsUntilDate": NOW - 1},
        }});
        DataSet::from_model(serde_json::from_value::<FlagData>(flags).unwrap())
    }

    fn check(options: AllFlagsOptions, expected: Value) {
        let data = data();
        let context = Context::from_key("u").unwrap();
        let all = AllFlags::of(&data, &context, options, NOW);
        assert_eq!(serde_json::to_value(&all).unwrap(), expected);
        let owned = AllFlags::owned(&data, None, &context, options, NOW);
        drop(data);
        assert_eq!(serde_json::to_value(owned).unwrap(), expected);
    }

    #[test]
    fn every_flag_that_is_there_is_in_the_state() {
        check(
            AllFlagsOptions::default(),
            json!({"plain": null, "base": true, "off": null, "bad": null, "$valid": true, "$flagsState": {
                "plain": {"version": 10, "prerequisites": ["base", "off"]},
                "base": {"variation": 0, "version": 1, "trackEvents": true, "trackReason": true,
                    "reason": {"kind": "FALLTHROUGH"}},
                "off": {"version": 2, "debugEventsUntilDate": NOW + 1},
                "bad": {"version": 4, "trackEvents": true, "debugEventsUntilDate": NOW - 1},
            }}),
        );
    }

    #[test]
    fn options_add_reasons_and_leave_out_flags_and_details() {
        check(
            AllFlagsOptions { with_reasons: true, client_side_only: true, ..Default::default() },
            json!({"plain": null, "$valid": true, "$flagsState": {"plain": {"version": 10,
                "reason": {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "off"}, "prerequisites": ["base", "off"]}}}),
        );
        check(
            AllFlagsOptions {
                with_reasons: true,
                details_only_for_tracked_flags: true,
                ..Default::default()
            },
            json!({"plain": null, "base": true, "off": null, "bad": null, "$valid": true, "$flagsState": {
                "plain": {"prerequisites": ["base", "off"]},
                "base": {"variation": 0, "version": 1, "trackEvents": true, "trackReason": true,
                    "reason": {"kind": "FALLTHROUGH"}},
                "off": {"version": 2, "debugEventsUntilDate": NOW + 1, "reason": {"kind": "OFF"}},
                "bad": {"version": 4, "trackEvents": true, "debugEventsUntilDate": NOW - 1,
                    "reason": {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}},
            }}),
        );
    }

    #[test]
    fn client_side_evaluations_carry_their_values() {
        let data = data();
        let context = Context::from_key("u").unwrap();
        let all = AllFlags::of_those(&data, None, &context, AllFlagsOptions::default(), NOW, |flag| {
            flag.key() == "base"
        });
        assert_eq!(
            serde_json::to_value(all.evaluation(&all.flags()[0], 70)).unwrap(),
            json!({"value": true, "variation": 0, "version": 70, "flagVersion": 1, "trackEvents": true,
                "trackReason": true, "reason": {"kind": "FALLTHROUGH"}})
        );
        assert_eq!(
            serde_json::to_value(all.change(&all.flags()[0], 71)).unwrap(),
            json!({"key": "base", "value": true, "variation": 0, "version": 71, "flagVersion": 1,
                "trackEvents": true, "trackReason": true, "reason": {"kind": "FALLTHROUGH"}})
        );
        assert_eq!(serde_json::to_value(all.values()).unwrap(), json!({"base": true}));
        let options = AllFlagsOptions::default();
        let keys = ["off", "none", "gone", "base", "plain"];
        let some = AllFlags::of_keys(&data, None, &context, options, NOW, keys, |flag| flag.key() != "off");
        assert_eq!(serde_json::to_value(some.values()).unwrap(), json!({"base": true, "plain": null}));
    }

    #[test]
    fn without_data_the_state_says_so() {
        assert_eq!(
            serde_json::to_value(AllFlags::<&PreparedFlag>::not_valid()).unwrap(),
            json!({"$flagsState": {}, "$valid": false})
        );
    }
}
