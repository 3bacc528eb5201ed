//! Flagstaff's feature flags by the interface of [OpenFeature](https://openfeature.dev), the crate
//! `open-feature`.
//!
//! ```
//! use flagstaff_openfeature::FlagstaffProvider;
//! use flagstaff_sdk::Config;
//! use open_feature::{EvaluationContext, OpenFeature};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::new("sdk-demo-production");
//! # let config = config.offline(true);
//! let provider = FlagstaffProvider::start(config)?;
//! let flagstaff = provider.client().clone();
//! let mut api = OpenFeature::singleton_mut().await;
//! api.set_provider(provider).await;
//!
//! let client = api.create_client();
//! let context = EvaluationContext::default()
//!     .with_targeting_key("user-1")
//!     .with_custom_field("email", "user-1@example.com");
//! if client.get_bool_value("checkout-redesign", Some(&context), None).await.unwrap_or(false) {
//!     // the new checkout
//! }
//! // Sends the last events.
//! flagstaff.close();
//! # Ok(())
//! # }
//! ```
//!
//! | Room | What stands there |
//! |---|---|
//! | [`FlagstaffProvider`] | the provider: values of each type, and whether it is ready |
//! | `context` | what becomes of an evaluation context: see [below](#contexts) |
//! | `answer` | what becomes of reasons and errors: see [below](#answers) |
//! | `value` | values with a structure, both ways |
//!
//! # Contexts
//!
//! | In OpenFeature | In Flagstaff |
//! |---|---|
//! | the targeting key, or without it the field `key` | the key; without either the answer is `TARGETING_KEY_MISSING` |
//! | `kind` | the kind; `user` without it |
//! | `name`, text; `anonymous`, a bool | the attributes that are built in |
//! | `privateAttributes`, a list of references | used to evaluate, but removed from events |
//! | a date and time | milliseconds since 1970, which `before` and `after` understand |
//! | a structure: [`StructValue`](open_feature::StructValue), [`open_feature::Value`], a JSON value, `Vec<String>` or an [`EvaluationContext`](open_feature::EvaluationContext) | an object or a list |
//! | any other field | the attribute of that name |
//!
//! With the kind `multi`, each field that holds a structure is a context of its own, whose kind is the
//! field's name and whose key is its `targetingKey` or `key`. Other fields are then passed over.
//!
//! ```
//! use open_feature::{EvaluationContext, EvaluationContextFieldValue, StructValue};
//!
//! let user = StructValue::default().with_field("targetingKey", "user-1").with_field("plan", "gold");
//! let org = StructValue::default().with_field("targetingKey", "org-1");
//! let both = EvaluationContext::default()
//!     .with_custom_field("kind", "multi")
//!     .with_custom_field("user", EvaluationContextFieldValue::new_struct(user))
//!     .with_custom_field("org", EvaluationContextFieldValue::new_struct(org));
//! # assert_eq!(both.custom_fields.len(), 3);
//! ```
//!
//! A field that breaks these rules makes the answer `INVALID_CONTEXT`, with a message that names it.
//!
//! # Answers
//!
//! The variant is the number of the variation, from 0. What else is known is in the metadata:
//! `variationIndex`, `reasonKind`, `ruleIndex`, `ruleId`, `prerequisiteKey`, `inExperiment`,
//! `bigSegmentsStatus`, and `contextId` and `flagSetId`, which OpenFeature's conventions for telemetry
//! look for.
//!
//! | Flagstaff's reason | OpenFeature's |
//! |---|---|
//! | any, if the context is in an experiment | `SPLIT` |
//! | `TARGET_MATCH`, `RULE_MATCH` | `TARGETING_MATCH` |
//! | `FALLTHROUGH` | `DEFAULT` |
//! | `OFF` | `DISABLED` |
//! | `PREREQUISITE_FAILED` | `PREREQUISITE_FAILED`, a reason of its own |
//!
//! | Flagstaff's error | OpenFeature's |
//! |---|---|
//! | `CLIENT_NOT_READY` | `PROVIDER_NOT_READY` |
//! | `FLAG_NOT_FOUND` | `FLAG_NOT_FOUND` |
//! | `MALFORMED_FLAG` | `PARSE_ERROR` |
//! | `WRONG_TYPE`, and a value that OpenFeature has no type for | `TYPE_MISMATCH` |
//! | `USER_NOT_SPECIFIED` | `TARGETING_KEY_MISSING` |
//! | `EXCEPTION`, and a flag that serves no variation, as an off flag without off variation | `GENERAL` |
//!
//! Numbers serve both types: a fraction is cut off for a whole number. The crate `open-feature` does not
//! tell a provider the default, so that events have none, and it asks for structures, which are JSON
//! objects, but not for lists. In objects, null is left out.

mod answer;
mod context;
mod provider;
mod value;

pub use provider::FlagstaffProvider;
