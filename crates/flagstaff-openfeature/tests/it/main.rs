//! The provider by its public face, through OpenFeature's own client, against a fake service.

mod answers;
mod contexts;
mod readiness;
mod support;
