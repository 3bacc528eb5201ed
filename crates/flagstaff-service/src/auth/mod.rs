//! Who asks, and what they may.
//!
//! | Extractor | Credential | Gives |
//! |---|---|---|
//! | [`SdkEnvironment`] | `Authorization: SDK-KEY` | the live environment |
//! | [`MobileEnvironment`] | `Authorization: MOBILE-KEY` | the same |
//! | [`BrowserEnvironment`] | the client-side ID in the path | the same |
//! | [`Keyed`] | any of these in `Authorization`, or a client-side ID in the query | the same, and who asks |
//! | [`Lasting`] | one of these | the same, and what is cancelled when that stops counting |
//! | [`Caller`] | `Authorization: ACCESS-TOKEN`, on the admin API | an [`Actor`] |
//! | [`Relay`] | `Authorization: KEY`, of relays that configure themselves | the configuration |
//! | [`Session`] | the session cookie, on the dashboard | an [`Actor`], and the form token |
//!
//! With a payload filter in the query, `filter=KEY`, it is that part of the environment, or 404.
//!
//! An extractor only says who; what they may is asked of [`Actor::may`], in `management`, whichever
//! face they came by.

mod access_token;
pub mod client_side;
mod filter;
mod keyed;
mod lasting;
pub mod limit;
pub mod password;
mod permission;
mod relay_key;
mod sdk_key;
pub mod secret;
pub mod session;

pub use access_token::{Caller, MintedToken, mint_access_token, mint_relay_key};
pub use client_side::{BrowserEnvironment, MobileEnvironment};
pub(crate) use filter::{asked_filter, filtered};
pub(crate) use keyed::{Keyed, asked_id};
pub(crate) use lasting::Admission;
pub use lasting::Lasting;
pub use permission::{Action, Actor, ActorKind, Forbidden, Role};
pub use relay_key::Relay;
pub use sdk_key::SdkEnvironment;
pub use session::Session;

use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::NotInitialized;

/// That somebody came by something that nobody knows. Where more may come to be known, they are told to come again.
pub(crate) fn unknown(serving: &SharedServing, refusal: ApiError) -> ApiError {
    if serving.live.expects_more() { NotInitialized.into() } else { refusal }
}
