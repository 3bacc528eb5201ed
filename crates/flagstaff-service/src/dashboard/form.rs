//! What a form sends.

use std::error::Error as _;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::answer::Trouble;
use crate::error::ApiError;

/// The fields of a form. One that is not as a page of ours sends it is refused in words.
#[derive(Debug)]
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &S) -> Result<Self, Trouble> {
        match Form::from_request(request, state).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(FormRejection::InvalidFormContentType(_)) => Err(Trouble(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "this is no form; send it with `Content-Type: application/x-www-form-urlencoded`",
            ))),
            Err(rejection) => {
                let what = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
                Err(Trouble(ApiError::bad_request(format!(
                    "the form cannot be read: {what}; go back, load the page again, and send it once more"
                ))))
            }
        }
    }
}
