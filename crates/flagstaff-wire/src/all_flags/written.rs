//! The form that client-side SDKs poll, as bytes.
//!
//! Browsers ask for every flag, again and again, and of a flag only a few of its bytes hang on who asks. The
//! others are written once per version of the flag and kept with it; then an answer is mostly copying.

use std::sync::Arc;

use flagstaff_eval::PreparedFlag;
use serde::Serialize;

use super::{AllFlags, FlagState};

/// What an entry of unusual length may take: one with a reason, say. Only a guess, to allocate once.
const UNUSUAL: usize = 256;

/// What is known of a flag's entry before anybody asks.
#[derive(Debug)]
struct Written {
    text: Box<str>,
    /// Where in `text` the beginning of an entry ends, for each variation and, last, for no variation.
    ends: Box<[usize]>,
}

impl Written {
    /// What is kept with the flag; none if its owner keeps something else there.
    fn of(flag: &PreparedFlag) -> Option<&Self> {
        flag.attachment().get_or_init(|| Arc::new(Self::new(flag))).downcast_ref()
    }

    fn new(flag: &PreparedFlag) -> Self {
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(flag.variations().len() + 1);
        for variation in (0..flag.variations().len()).map(Some).chain([None]) {
            write(&mut text, flag.key());
            text.extend_from_slice(b":{\"value\":");
            write(&mut text, &variation.map(|index| &flag.variations()[index]));
            if let Some(index) = variation {
                text.extend_from_slice(b",\"variation\":");
                write(&mut text, &index);
            }
            text.extend_from_slice(b",\"version\":");
            ends.push(text.len());
        }
        text.extend_from_slice(b",\"flagVersion\":");
        write(&mut text, &flag.version());
        if flag.track_events() {
            text.extend_from_slice(b",\"trackEvents\":true");
        }
        if let Some(until) = flag.debug_events_until_date() {
            text.extend_from_slice(b",\"debugEventsUntilDate\":");
            write(&mut text, &until);
        }
        text.push(b'}');
        let text = String::from_utf8(text).unwrap_or_else(|error| unreachable!("JSON is text: {error}"));
        Self { text: text.into(), ends: ends.into() }
    }

    /// What comes before the environment's version.
    fn beginning(&self, variation: Option<usize>) -> &[u8] {
        let index = variation.unwrap_or(self.ends.len() - 1);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text.as_bytes()[start..self.ends[index]]
    }

    /// What comes after it.
    fn end(&self) -> &[u8] {
        &self.text.as_bytes()[self.ends[self.ends.len() - 1]..]
    }
}

impl AllFlags<'_> {
    /// Writes the form that client-side SDKs poll: an object of evaluations by flag key, each as
    /// [`AllFlags::evaluation`] has it.
    ///
    /// `environment_version` is that of the whole environment, and the flag's own stands beside it: what a
    /// flag's value hangs on may change while the flag does not, and SDKs take only what has a greater version.
    ///
    /// Text is kept as the flags' [attachment](PreparedFlag::attachment): whoever attaches something else to
    /// the flags of a data set gets the same answer, more slowly.
    pub fn write_evaluations(&self, environment_version: u64, out: &mut Vec<u8>) {
        let version = environment_version.to_string();
        let length = |state: &FlagState<'_>| match self.written(state) {
            Some(written) => {
                written.beginning(state.variation).len() + version.len() + written.end().len() + 1
            }
            None => UNUSUAL,
        };
        out.reserve(2 + self.flags.iter().map(length).sum::<usize>());
        out.push(b'{');
        for (place, state) in self.flags.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            match self.written(state) {
                Some(written) => {
                    out.extend_from_slice(written.beginning(state.variation));
                    out.extend_from_slice(version.as_bytes());
                    out.extend_from_slice(written.end());
                }
                None => {
                    write(out, state.key());
                    out.push(b':');
                    write(out, &self.evaluation(state, environment_version));
                }
            }
        }
        out.push(b'}');
    }

    /// The text of an entry in which nothing else hangs on who asks.
    fn written<'f>(&self, state: &FlagState<'f>) -> Option<&'f Written> {
        let usual = !self.says_reason(state)
            && !state.is_experiment
            && self.prerequisites_of(state).is_empty()
            && state.variation.is_none_or(|index| index < state.flag.variations().len());
        if usual { Written::of(state.flag) } else { None }
    }
}

fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).unwrap_or_else(|error| unreachable!("values are JSON: {error}"));
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model::FlagData;
    use flagstaff_eval::{Context, DataSet};
    use serde_json::{Value, json};

    use super::*;
    use crate::all_flags::AllFlagsOptions;

    fn data() -> DataSet {
        let flags = json!({"flags": {
            "served": {"key": "served", "version": 7, "on": true, "variations": ["a", {"b": "\"\n"}],
                "fallthrough": {"variation": 1}},
            "off": {"key": "off", "version": 1, "variations": [1, 2], "offVariation": 0, "trackEvents": true},
            "no value": {"key": "no value", "version": 2, "variations": [1], "debugEventsUntilDate": 5},
            "no variations": {"key": "no variations", "version": 2, "variations": []},
            "experiment": {"key": "experiment", "version": 3, "on": true, "variations": [true],
                "fallthrough": {"variation": 0}, "trackEventsFallthrough": true},
            "depends": {"key": "depends", "version": 4, "on": true, "variations": [true, false],
                "prerequisites": [{"key": "served", "variation": 1}], "fallthrough": {"variation": 0}},
            "\"quoted\\": {"key": "\"quoted\\", "version": 5, "variations": [null], "offVariation": 0},
        }});
        DataSet::from_model(serde_json::from_value::<FlagData>(flags).unwrap())
    }

    /// Each entry one by one, by the general way.
    fn one_by_one(all: &AllFlags<'_>, version: u64) -> Value {
        let entry = |state| (all.evaluation(state, version), state.key().to_owned());
        let entries = all.flags().iter().map(entry);
        entries.map(|(entry, key)| (key, serde_json::to_value(entry).unwrap())).collect()
    }

    fn written(all: &AllFlags<'_>, version: u64) -> Value {
        let mut out = b"before ".to_vec();
        all.write_evaluations(version, &mut out);
        serde_json::from_slice(out.strip_prefix(b"before ").unwrap()).unwrap()
    }

    #[test]
    fn everything_at_once_is_what_each_flag_is_alone() {
        let context = Context::from_key("u").unwrap();
        for with_reasons in [false, true] {
            let data = data();
            let options = AllFlagsOptions { with_reasons, ..Default::default() };
            let all = AllFlags::of(&data, &context, options, 0);
            assert_eq!(all.flags().len(), 7);
            for version in [1, u64::MAX] {
                assert_eq!(written(&all, version), one_by_one(&all, version), "reasons: {with_reasons}");
            }
        }
    }

    #[test]
    fn it_is_the_same_where_something_else_is_attached() {
        let (data, context) = (data(), Context::from_key("u").unwrap());
        for flag in data.flags() {
            assert!(flag.attachment().set(Arc::new("a counter")).is_ok());
        }
        let all = AllFlags::of(&data, &context, AllFlagsOptions::default(), 0);
        assert_eq!(written(&all, 8), one_by_one(&all, 8));
    }

    #[test]
    fn no_flags_are_an_object_too() {
        let (data, context) = (DataSet::default(), Context::from_key("u").unwrap());
        let all = AllFlags::of(&data, &context, AllFlagsOptions::default(), 0);
        assert_eq!(written(&all, 8), json!({}));
    }
}
