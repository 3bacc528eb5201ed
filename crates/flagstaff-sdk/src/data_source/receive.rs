//! What is done with flags that have come, whichever way they did.

use flagstaff_eval::{DataSet, PreparedFlag, PreparedSegment};

use crate::log::LogLevel;
use crate::shared::Shared;

/// Puts a full data set in force.
pub(super) fn receive_all(shared: &Shared, data: DataSet) {
    let is_first = !shared.is_initialized();
    shared.replace_data(data);
    if is_first {
        shared.log.write(LogLevel::Info, format_args!("the first flags have come"));
    }
    let data = shared.data.snapshot();
    data.flags().for_each(|flag| warn_of_flag(shared, flag));
    data.segments().for_each(|segment| warn_of_segment(shared, segment));
}

/// Says, once for each version, which regular expressions of a flag can never match.
pub(super) fn warn_of_flag(shared: &Shared, flag: &PreparedFlag) {
    for pattern in flag.unsupported_patterns() {
        warn_of_pattern(shared, "flag", flag.key(), flag.version(), pattern);
    }
}

/// As [`warn_of_flag`].
pub(super) fn warn_of_segment(shared: &Shared, segment: &PreparedSegment) {
    for pattern in segment.unsupported_patterns() {
        warn_of_pattern(shared, "segment", segment.key(), segment.version(), pattern);
    }
}

#[cold]
fn warn_of_pattern(shared: &Shared, what: &str, key: &str, version: u64, pattern: &str) {
    shared.log.once(
        LogLevel::Warn,
        format_args!(
            "{what} `{key}`, version {version}: the regular expression `{pattern}` is not supported and can never match"
        ),
    );
}
