//! Databases as seen without any SDK.
