//! The provider: values of each type, and whether it is ready.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use flagstaff_sdk::{
    Client, Config, ConfigError, DataSourceState, FlagValue, NoDefault, Value, VariationDefault,
};
use open_feature::provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails};
use open_feature::{EvaluationContext, EvaluationResult, StructValue, async_trait};

use crate::answer::{metadata, no_structure, no_value, reason};
use crate::context::convert;
use crate::value::structure_from_json;

/// As the crate is called in requests and in OpenFeature.
const NAME: &str = "flagstaff-openfeature";

/// Flags for the crate `open-feature`: see the [crate](crate).
///
/// Evaluations never keep a thread of the executor's waiting: a database behind the flags, if there is
/// one, is asked elsewhere. What OpenFeature has no call for, as tracking and listeners, is done by the
/// [client](FlagstaffProvider::client).
#[derive(Debug)]
pub struct FlagstaffProvider {
    client: Client,
    metadata: ProviderMetadata,
    initialization_timeout: Duration,
}

impl FlagstaffProvider {
    /// Starts a client for the provider, and says in requests that this crate wraps it.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start(config: Config) -> Result<Self, ConfigError> {
        Client::start(config.wrapper(NAME, Some(env!("CARGO_PKG_VERSION")))).map(Self::new)
    }

    /// Serves the flags of a client that the program already has.
    pub fn new(client: Client) -> Self {
        Self { client, metadata: ProviderMetadata::new(NAME), initialization_timeout: Duration::from_secs(5) }
    }

    /// How long `set_provider` may wait for the first flags. Default 5 s. After that the provider is in
    /// place all the same, and serves flags once they have come.
    #[must_use]
    pub fn initialization_timeout(mut self, timeout: Duration) -> Self {
        self.initialization_timeout = timeout;
        self
    }

    /// The client whose flags these are. [Close](Client::close) it before the program ends, so that the
    /// last events are sent.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn resolve<T>(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<T>>
    where
        T: FlagValue,
        NoDefault<T>: VariationDefault<Output = T>,
    {
        let context = convert(context)?;
        let detail = self.client.variation_detail_async(flag_key, &context, NoDefault::<T>::new()).await;
        let Some(index) = detail.variation_index else { return Err(no_value(flag_key, &detail.reason)) };
        let environment_id = self.client.environment_id();
        let context_key = context.canonical_key();
        Ok(ResolutionDetails {
            value: detail.value,
            variant: Some(index.to_string()),
            reason: Some(reason(&detail.reason)),
            flag_metadata: Some(metadata(
                &detail.reason,
                Some(index),
                context_key,
                environment_id.as_deref(),
            )),
        })
    }
}

#[async_trait]
impl FeatureProvider for FlagstaffProvider {
    async fn initialize(&mut self, _: &EvaluationContext) {
        ready_within(&self.client, self.initialization_timeout).await;
    }

    fn status(&self) -> ProviderStatus {
        let client = &self.client;
        if client.is_closed() || client.is_offline() || !client.is_initialized() {
            return ProviderStatus::NotReady;
        }
        match client.data_source_status().state {
            DataSourceState::Valid => ProviderStatus::Ready,
            // There are flags, but nothing says that they are those of now.
            _ => ProviderStatus::STALE,
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve(flag_key, context).await
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve(flag_key, context).await
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve(flag_key, context).await
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.resolve(flag_key, context).await
    }

    async fn resolve_struct_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        let ResolutionDetails { value, variant, reason, flag_metadata } =
            self.resolve::<Value>(flag_key, context).await?;
        let value = structure_from_json(value).ok_or_else(|| no_structure(flag_key))?;
        Ok(ResolutionDetails { value, variant, reason, flag_metadata })
    }
}

/// Waits for the first flags without keeping the caller's thread, on any executor: the crate may not
/// ask the program for a timer, so a thread of its own waits.
async fn ready_within(client: &Client, timeout: Duration) {
    if client.is_initialized() || timeout.is_zero() {
        return;
    }
    let (waiting, bell) = (client.clone(), Arc::new(Mutex::new(Bell::default())));
    let ringing = bell.clone();
    let started = std::thread::Builder::new().name("flagstaff-ready".to_owned()).spawn(move || {
        waiting.wait_until_ready(timeout);
        let mut bell = lock(&ringing);
        bell.rung = true;
        let waker = bell.waker.take();
        drop(bell);
        waker.into_iter().for_each(Waker::wake);
    });
    // Without a thread there is no waiting: the flags come when they come.
    if started.is_ok() {
        poll_fn(|task| {
            let mut bell = lock(&bell);
            bell.waker = Some(task.waker().clone());
            if bell.rung { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Rung once.
#[derive(Default)]
struct Bell {
    rung: bool,
    waker: Option<Waker>,
}

fn lock(bell: &Mutex<Bell>) -> MutexGuard<'_, Bell> {
    bell.lock().unwrap_or_else(PoisonError::into_inner)
}
