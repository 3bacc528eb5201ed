//! What is reported, how much of it, and how often.

use std::time::Duration;

use flagstaff_eval::AttributeRef;

use super::Config;

impl Config {
    /// Whether evaluations are reported. Default true.
    pub fn send_events(mut self, send: bool) -> Self {
        self.send_events = send;
        self
    }

    /// How many events are kept between two flushes; more are lost, and counted. Default 10,000.
    pub fn events_capacity(mut self, capacity: usize) -> Self {
        self.events_capacity = capacity;
        self
    }

    /// How often events are sent. Default 5 s.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// How many contexts are remembered as reported. Default 1,000.
    pub fn context_keys_capacity(mut self, capacity: usize) -> Self {
        self.context_keys_capacity = capacity;
        self
    }

    /// How often those are forgotten, and so reported again. Default 5 min.
    pub fn context_keys_flush_interval(mut self, interval: Duration) -> Self {
        self.context_keys_flush_interval = interval;
        self
    }

    /// Attributes that are used to evaluate but never leave the program: names, or paths like
    /// `/address/city`.
    pub fn private_attributes<R: Into<AttributeRef>>(
        mut self,
        references: impl IntoIterator<Item = R>,
    ) -> Self {
        self.redaction.private_attributes.extend(references.into_iter().map(Into::into));
        self
    }

    /// Whether no attribute but the key ever leaves the program.
    pub fn all_attributes_private(mut self, private: bool) -> Self {
        self.redaction.all_attributes_private = private;
        self
    }

    /// Whether anonymous contexts are left out of what is reported of contexts.
    pub fn omit_anonymous_contexts(mut self, omit: bool) -> Self {
        self.omit_anonymous_contexts = omit;
        self
    }

    /// Whether events are sent compressed. Default false.
    pub fn compress_events(mut self, compress: bool) -> Self {
        self.compress_events = compress;
        self
    }

    /// Whether the client does not report of itself.
    pub fn diagnostic_opt_out(mut self, opt_out: bool) -> Self {
        self.diagnostic_opt_out = opt_out;
        self
    }

    /// How often the client reports of itself. Default 15 min, least 1 min.
    pub fn diagnostic_interval(mut self, interval: Duration) -> Self {
        self.diagnostic_interval = interval;
        self
    }

    /// Lets the diagnostic interval be anything. For tests against a service of one's own.
    pub fn allow_any_diagnostic_interval(mut self) -> Self {
        self.any_diagnostic_interval = true;
        self
    }

    /// How long the program is going to wait for flags, for the diagnostic report only.
    pub fn reported_start_wait(mut self, wait: Duration) -> Self {
        self.start_wait = wait;
        self
    }

    /// Sends no more than so many events at once; more go in several requests, one after the other.
    /// Without it what waits is one request, of [`Config::events_capacity`] events and a summary at most.
    pub fn max_batch_size(mut self, events: usize) -> Self {
        self.max_batch_size = Some(events);
        self
    }

    /// For tests: whatever the client waits for by a rule of its own takes one part in `factor` of the
    /// time. Those are the second before events are sent again, the five minutes and more after a
    /// refusal, the longest delay between attempts, and the minute after which a stream is healthy.
    /// What can be set otherwise is not touched.
    pub fn compress_time(mut self, factor: u32) -> Self {
        self.time_factor = factor.max(1);
        self
    }
}
