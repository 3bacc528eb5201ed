//! Every message two processes exchange, defined once, so that sender and receiver cannot drift
//! apart. Pure: no I/O, no async, no clock.
//!
//! | Room | What crosses |
//! |---|---|
//! | [`paths`], [`headers`] | where a request goes, and what it says of its sender |
//! | [`sse`] | server-sent events, byte by byte |
//! | [`stream`], [`full_data`] | put, patch, delete and ping: flags on their way to an SDK |
//! | [`fdv2`] | the second generation of the same: whole transfers that can be resumed |
//! | [`all_flags`] | every flag for one context: for browsers and mobile programs |
//! | [`big_segments`] | who is in segments that are too large to be sent |
//! | [`event`], [`summary`] | what an SDK reports of its evaluations |
//! | [`migration`] | what it reports of the steps of a migration |
//! | [`received`] | the same as a service reads it, whatever SDK it comes from |
//! | [`relay`] | which environments a relay serves |
//! | [`openfeature`] | the same in OpenFeature's words |
//! | [`secure_mode`] | how a browser proves whom it speaks for |
//! | [`redaction`] | what of a context stays out of those reports |
//! | [`diagnostic`] | what an SDK reports of itself |

pub mod all_flags;
pub mod big_segments;
pub mod diagnostic;
pub mod event;
pub mod fdv2;
pub mod full_data;
pub mod headers;
pub mod migration;
pub mod openfeature;
pub mod paths;
pub mod received;
pub mod redaction;
pub mod relay;
pub mod secure_mode;
pub mod sse;
pub mod stream;
pub mod summary;
