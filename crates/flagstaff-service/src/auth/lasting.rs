//! A credential for something that lasts longer than a request: a stream has to end when the key that it
//! was opened with stops counting.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::sdk_key::credential;
use super::{BrowserEnvironment, MobileEnvironment, SdkEnvironment};
use crate::SharedServing;
use crate::error::ApiError;
use crate::live_environment::{Audience, LiveEnvironment};

/// An environment that somebody was let into, and what is cancelled when they would not be any more.
#[derive(Clone, Debug)]
pub struct Lasting<E>(pub E, pub CancellationToken);

/// What lets somebody into an environment.
pub(crate) trait Admission: FromRequestParts<SharedServing, Rejection = ApiError> + Send {
    /// Whom it lets in.
    const AUDIENCE: Audience;

    fn live(&self) -> &Arc<LiveEnvironment>;

    /// What is cancelled when what this request came by stops counting.
    fn revoked(&self, _: &Parts) -> CancellationToken {
        self.live().revoked(Self::AUDIENCE)
    }
}

impl<E: Admission> FromRequestParts<SharedServing> for Lasting<E> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        // A key that stops counting, or a part that a filter does not make any more, is not found any more
        // first, and those who came by it are sent away then. So who is still found, after the token was
        // taken, has one that will be cancelled.
        let mut admitted = E::from_request_parts(parts, serving).await?;
        loop {
            let revoked = admitted.revoked(parts);
            let again = E::from_request_parts(parts, serving).await?;
            if Arc::ptr_eq(admitted.live(), again.live()) {
                return Ok(Self(again, revoked));
            }
            admitted = again;
        }
    }
}

impl Admission for BrowserEnvironment {
    const AUDIENCE: Audience = Audience::Browser;

    fn live(&self) -> &Arc<LiveEnvironment> {
        &self.0
    }
}

impl Admission for MobileEnvironment {
    const AUDIENCE: Audience = Audience::Mobile;

    fn live(&self) -> &Arc<LiveEnvironment> {
        &self.0
    }
}

impl Admission for SdkEnvironment {
    const AUDIENCE: Audience = Audience::Server;

    fn live(&self) -> &Arc<LiveEnvironment> {
        &self.0
    }

    /// Two keys may count, and one of them not for long.
    fn revoked(&self, parts: &Parts) -> CancellationToken {
        self.0.revoked_for(credential(&parts.headers).unwrap_or_default())
    }
}
