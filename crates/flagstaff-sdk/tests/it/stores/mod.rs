//! Databases of flags, each against the real server: see `make setup-stores`.

#[cfg(feature = "consul")]
mod consul;
#[cfg(any(feature = "redis", feature = "dynamodb"))]
mod copies;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod faults;
#[cfg(feature = "redis")]
mod redis;
mod servers;
mod suite;
