//! Files of flags, JSON and YAML: whatever can be read can be evaluated and written, and a file that
//! could also be a poll's answer means the same as one.

use flagstaff_eval::DataSet;
use flagstaff_sdk::read_flags_file;
use flagstaff_wire::full_data::{FullData, read_json};

use crate::flag::{all_hold_together, same_answers, written_and_read_again};

/// The input is a file.
pub(crate) fn check(input: &[u8]) {
    let Ok(model) = read_flags_file(input) else { return };
    // A key that is missing inside is the one outside, and one that is there stays: it is hashed.
    assert!(model.flags.iter().all(|(key, flag)| key.is_empty() || !flag.key.is_empty()));
    assert!(model.segments.iter().all(|(key, segment)| key.is_empty() || !segment.key.is_empty()));
    let again = written_and_read_again(&model);
    let data = DataSet::from_model(model);
    all_hold_together(&data);
    same_answers(&data, &again);

    let Ok(FullData(polled)) = read_json::<FullData>(input) else { return };
    let has_versions = polled.flag_entries().all(|entry| entry.version() > 0)
        && polled.segment_entries().all(|entry| entry.version() > 0);
    // In a file a missing version is 1, and there are plain values.
    if has_versions && data.flag_entries().count() == polled.flag_entries().count() {
        same_answers(&polled, &data);
    }
}
