//! What the stages of a hook are told, and what they hand on.

use std::any::Any;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use flagstaff_eval::{Context, Value};

/// What the caller of an evaluation gave, as far as hooks ask for it.
pub(super) trait Given {
    fn canonical_key(&self) -> Cow<'_, str>;
    fn to_context(&self) -> Arc<Context>;
    fn default_value(&self) -> Value;
}

/// What is evaluated, for whom, and by which method.
///
/// The context and the default are put together when a hook first asks for them.
pub struct EvaluationSeriesContext<'a> {
    pub(super) flag_key: &'a str,
    pub(super) method: &'static str,
    pub(super) environment_id: Option<Arc<str>>,
    pub(super) given: &'a dyn Given,
    pub(super) context: OnceCell<Arc<Context>>,
    pub(super) default_value: OnceCell<Value>,
}

impl<'a> EvaluationSeriesContext<'a> {
    /// The flag's key.
    pub fn flag_key(&self) -> &'a str {
        self.flag_key
    }

    /// The client's method: `variation`, `variation_detail` or `migration_variation`; the same for the
    /// async twins of these.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The id of the environment, once the service has said it.
    pub fn environment_id(&self) -> Option<&str> {
        self.environment_id.as_deref()
    }

    /// The text that tells contexts apart: see [`Context::canonical_key`]. Costs less than the whole
    /// context.
    pub fn context_key(&self) -> Cow<'a, str> {
        self.given.canonical_key()
    }

    /// Whom the flag is evaluated for.
    pub fn context(&self) -> &Arc<Context> {
        self.context.get_or_init(|| self.given.to_context())
    }

    /// What the caller gets if there is no value.
    pub fn default_value(&self) -> &Value {
        self.default_value.get_or_init(|| self.given.default_value())
    }
}

impl fmt::Debug for EvaluationSeriesContext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EvaluationSeriesContext")
            .field("flag_key", &self.flag_key)
            .field("context_key", &self.context_key())
            .field("default_value", self.default_value())
            .field("method", &self.method)
            .field("environment_id", &self.environment_id)
            .finish()
    }
}

/// What a program told [`Client::track`](crate::Client::track).
#[derive(Debug)]
#[non_exhaustive]
pub struct TrackSeriesContext<'a> {
    /// The event's key.
    pub key: &'a str,
    /// Whom it is about.
    pub context: &'a Arc<Context>,
    /// What was said of it; null if nothing was.
    pub data: &'a Value,
    /// The number for metrics.
    pub metric_value: Option<f64>,
    /// The id of the environment, once the service has said it.
    pub environment_id: Option<&'a str>,
}

/// What the before-stage of a hook hands to its after-stage: values of any type, by name.
///
/// ```
/// use std::time::Instant;
/// use flagstaff_sdk::SeriesData;
///
/// let data = SeriesData::default().with("started", Instant::now());
/// assert!(data.get::<Instant>("started").is_some());
/// ```
#[derive(Clone, Default)]
pub struct SeriesData {
    // A handful at most, and mostly none, which takes no memory.
    values: Vec<(Cow<'static, str>, Arc<dyn Any + Send + Sync>)>,
}

impl SeriesData {
    /// With this value too, in the place of one of the same name.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, name: impl Into<Cow<'static, str>>, value: T) -> Self {
        let (name, value) = (name.into(), Arc::new(value));
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.values.push((name, value)),
        }
        self
    }

    /// The value of this name, if there is one of this type.
    pub fn get<T: Any>(&self, name: &str) -> Option<&T> {
        self.values.iter().find(|(known, _)| known == name)?.1.downcast_ref()
    }

    /// The names, in the order in which they were first given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| &**name)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for SeriesData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}
