//! User journeys, one file each: the real `flagstaff` program on a free port, and real programs that talk to it.
//!
//! | Journey | What happens |
//! |---|---|
//! | [`big_segments`] | a relay copies members into a database, and SDKs that look there get the right values |
//! | [`daemon_mode`] | programs read flags from a database that a relay writes, wipes and outages included |
//! | [`flip`] | a flag is flipped, and every example program prints the new value; users and counts are found |
//! | [`examples`] | the other examples of the Rust SDK answer, say what is wrong, and report what they evaluated |
//! | [`faults`] | streams are cut, events refused, Redis killed and emptied: nothing wrong is served, counts add up |
//! | [`filters`] | SDKs that ask for a part of the flags get it, and what comes into it and leaves it |
//! | [`openfeature`] | OpenFeature's own provider asks for values by its remote evaluation protocol |
//! | [`outage`] | the service is killed and started again: nothing is lost, and programs go on |
//! | [`relay`] | programs talk to a relay: flips, events, outages on either side |
//! | [`relay_auto_config`] | a relay is told what to serve, by the service or by a file, and programs go on meanwhile |
//! | [`soak`] | everything at once for a long time, after which nothing is held for those who have gone |
//! | [`snippets`] | the reference pages of the original Python package run line by line, and are reported |
//! | [`doors`] | who is turned away |
//! | [`partition`] | Redis vanishes behind a network that drops everything: memory serves, and it is whole again |
//! | [`vanished`] | a program vanishes without a word, and its stream is noticed to be dead |
//!
//! [`dependencies`] is no journey: it asserts who in this workspace may depend on whom.

mod big_segments;
mod daemon_mode;
mod dependencies;
mod doors;
mod examples;
mod faults;
mod filters;
mod flip;
mod openfeature;
mod outage;
mod partition;
mod relay;
mod relay_auto_config;
mod snippets;
mod soak;
mod support;
mod vanished;
