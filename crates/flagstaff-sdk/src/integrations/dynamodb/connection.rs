//! The client of one process, made at the first question: region and credentials may have to be asked
//! for.

use std::error::Error;
use std::fmt::{self, Write};
use std::future::Future;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::OnceCell;

use super::DynamoDb;
use super::http::OurHttp;
use crate::data_store::StoreError;
use crate::integrations::http_link::HttpLink;

/// The connections of one store in one process.
pub(super) struct Connection {
    link: HttpLink,
    client: OnceCell<Client>,
}

impl DynamoDb {
    /// Asks DynamoDB. `attempted` says what for, should it fail.
    pub(super) fn ask<T, F>(
        &self,
        attempted: &str,
        ask: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        let failed = |because: String| {
            StoreError::because(format_args!("could not {attempted} (table `{}`)", self.table), because)
        };
        let connection = self
            .shared
            .connection
            .get(|| HttpLink::new(&self.link).map(|link| Connection { link, client: OnceCell::new() }))
            .map_err(|error| failed(error.to_string()))?;
        let (store, own) = (self.clone(), connection.clone());
        let answered = connection.link.run(async move {
            let client = own.client.get_or_try_init(|| store.connect(&own.link)).await?.clone();
            ask(client).await
        });
        answered.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }

    /// Does not connect yet, but may ask the environment.
    async fn connect(&self, link: &HttpLink) -> Result<Client, String> {
        let mut environment = aws_config::defaults(BehaviorVersion::latest())
            .http_client(OurHttp(link.client.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(self.link.timeout).build())
            // Whole bodies are in memory.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &self.region {
            environment = environment.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            environment = environment.endpoint_url(endpoint);
        }
        if let Some(given) = self.credentials.clone() {
            let (id, secret, token) = (given.access_key_id, given.secret_access_key, given.session_token);
            environment =
                environment.credentials_provider(Credentials::new(id, secret, token, None, "given"));
        }
        let settings = environment.load().await;
        if settings.region().is_none() {
            return Err("no region was given, and the environment names none".to_owned());
        }
        Ok(Client::new(&settings))
    }
}

/// Why a request failed: what DynamoDB said, or else the causes from the outside in.
pub(super) fn describe<E, R>(error: SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug + 'static,
{
    if let Some(said) = error.as_service_error() {
        return match (said.code(), said.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            _ => said.to_string(),
        };
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to a text does not fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
