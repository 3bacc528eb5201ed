//! Names that travel with requests and events: what cannot be sent is left out, with a warning, and
//! the program keeps its flags.
//!
//! Source: the protocol's *Application tags*, *Payload filters* and *Private attributes*.

use flagstaff_wire::headers::ApplicationTags;
use flagstaff_wire::paths;

use super::Config;
use crate::log::{Log, LogLevel};

impl Config {
    /// Leaves out what cannot be sent.
    pub(super) fn leave_out_bad_names(&mut self) {
        let log = Log::new(self.log_sink.clone());
        if let Some(key) = self.payload_filter.take_if(|key| !paths::is_filter_key(key)) {
            log.write(
                LogLevel::Warn,
                format_args!(
                    "payload filter `{key}` is ignored, all flags are received: it must begin with a letter \
                     or digit and go on with those, `.`, `_` and `-`"
                ),
            );
        }
        for (tag, value) in [("id", &mut self.application_id), ("version", &mut self.application_version)] {
            if let Some(value) = value.take_if(|value| !ApplicationTags::is_valid(value)) {
                log.write(
                    LogLevel::Warn,
                    format_args!(
                        "application {tag} `{value}` is not sent: it must be 1 to 64 letters, digits, `.`, `_` \
                         and `-`"
                    ),
                );
            }
        }
        self.redaction.private_attributes.retain(|reference| {
            if !reference.is_valid() {
                log.write(
                    LogLevel::Warn,
                    format_args!(
                        "private attribute `{reference}` is ignored: it is not a name or a path like \
                         `/address/city`"
                    ),
                );
            }
            reference.is_valid()
        });
    }
}
