//! Who or what is evaluated.
//!
//! [`Context`] is the checked, owned form. The evaluator sees any context through [`ContextRead`],
//! so that other forms (a caller's own map, a dictionary of another language) are read in place.

mod attribute_ref;
mod builder;
#[allow(clippy::module_inception)]
mod context;
mod json;
mod kind;
mod read;

pub use attribute_ref::AttributeRef;
pub(crate) use attribute_ref::BuiltIn;
pub use builder::{ContextBuilder, MultiContextBuilder};
pub use context::{Context, SingleContext};
pub use kind::ContextError;
pub use read::{AttributeValue, ContextRead, ListRead};
