//! A relay: environments of an upstream service, served on to SDKs near by.
