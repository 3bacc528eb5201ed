//! The types a flag's value can be asked for.

use std::fmt;
use std::marker::PhantomData;

use flagstaff_eval::{Reason, Value};

/// A type that a flag's value can be asked for: bool, i64, f64, String, JSON value. Sealed.
pub trait FlagValue: Sized + sealed::Sealed {
    /// The value as this type, if it is of it. A number is both: a fraction is cut off for `i64`.
    fn from_value(value: &Value) -> Option<Self>;

    /// Whether the value is of this type.
    fn accepts(value: &Value) -> bool;
}

/// What may be given as a default; it says which type comes back. Sealed.
///
/// `"text"` asks for a `String` without making one.
pub trait VariationDefault: EventDefault + Into<Self::Output> + sealed::Sealed {
    /// The type that comes back.
    type Output: FlagValue;
}

/// What events need of a caller's default: its value, asked for only when it is reported.
pub trait EventDefault {
    /// The default as JSON.
    fn to_value(&self) -> Value;
}

/// Asks for a type without a default: for whoever hands the question on, and whose own caller has the
/// default. Events say null for it; see [`VariationDetail::is_default`] for whether there was a value.
///
/// ```
/// # use flagstaff_sdk::{Client, Config, Context, NoDefault};
/// # let client = Client::start(Config::new("").offline(true))?;
/// # let context = Context::from_key("user-1")?;
/// let detail = client.variation_detail("rows", &context, NoDefault::<i64>::new());
/// assert!(detail.is_default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NoDefault<T>(PhantomData<fn() -> T>);

impl<T: FlagValue> NoDefault<T> {
    /// Asks for this type.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: FlagValue> Default for NoDefault<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for NoDefault<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NoDefault")
    }
}

/// A value, which variation it is, and why.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VariationDetail<T> {
    /// The value: the flag's, or the caller's default.
    pub value: T,
    /// Which of the flag's variations it is, from 0; none if it is the default.
    pub variation_index: Option<usize>,
    /// Why.
    pub reason: Reason<'static>,
}

impl<T> VariationDetail<T> {
    /// Whether the value is the caller's default.
    pub fn is_default(&self) -> bool {
        self.variation_index.is_none()
    }
}

mod sealed {
    use flagstaff_eval::Value;

    pub trait Sealed {}
    impl Sealed for bool {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for f64 {}
    impl Sealed for String {}
    impl Sealed for &str {}
    impl Sealed for Value {}
    impl<T> Sealed for super::NoDefault<T> {}
}

impl FlagValue for bool {
    #[inline]
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    #[inline]
    fn accepts(value: &Value) -> bool {
        value.is_boolean()
    }
}

impl FlagValue for i64 {
    #[inline]
    fn from_value(value: &Value) -> Option<Self> {
        // The conversion cuts off the fraction, and stops at the largest number there is.
        value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))
    }

    #[inline]
    fn accepts(value: &Value) -> bool {
        value.is_number()
    }
}

impl FlagValue for f64 {
    #[inline]
    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64()
    }

    #[inline]
    fn accepts(value: &Value) -> bool {
        value.is_number()
    }
}

impl FlagValue for String {
    #[inline]
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    #[inline]
    fn accepts(value: &Value) -> bool {
        value.is_string()
    }
}

impl FlagValue for Value {
    #[inline]
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }

    #[inline]
    fn accepts(_: &Value) -> bool {
        true
    }
}

impl VariationDefault for bool {
    type Output = bool;
}

impl VariationDefault for i32 {
    type Output = i64;
}

impl VariationDefault for i64 {
    type Output = i64;
}

impl VariationDefault for f64 {
    type Output = f64;
}

impl VariationDefault for String {
    type Output = String;
}

impl VariationDefault for &str {
    type Output = String;
}

impl VariationDefault for Value {
    type Output = Value;
}

/// What stands in the place of a value that is not there.
macro_rules! without_default {
    ($($output:ty),*) => {$(
        impl From<NoDefault<$output>> for $output {
            fn from(_: NoDefault<$output>) -> Self {
                Self::default()
            }
        }

        impl VariationDefault for NoDefault<$output> {
            type Output = $output;
        }
    )*};
}

without_default!(bool, i64, f64, String, Value);

impl<T> EventDefault for NoDefault<T> {
    fn to_value(&self) -> Value {
        Value::Null
    }
}

impl EventDefault for bool {
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl EventDefault for i32 {
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl EventDefault for i64 {
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl EventDefault for f64 {
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl EventDefault for String {
    fn to_value(&self) -> Value {
        self.as_str().into()
    }
}

impl EventDefault for &str {
    fn to_value(&self) -> Value {
        (*self).into()
    }
}

impl EventDefault for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

/// No default: a prerequisite has none.
impl EventDefault for () {
    fn to_value(&self) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_serve_both_number_types_and_nothing_else_is_converted() {
        assert_eq!(i64::from_value(&json!(3)), Some(3));
        assert_eq!(i64::from_value(&json!(3.9)), Some(3));
        assert_eq!(i64::from_value(&json!(-3.9)), Some(-3));
        assert_eq!(i64::from_value(&json!(1e300)), Some(i64::MAX));
        assert_eq!(f64::from_value(&json!(3)), Some(3.0));
        assert_eq!(i64::from_value(&json!("3")), None);
        assert_eq!(bool::from_value(&json!(1)), None);
        assert_eq!(String::from_value(&json!(1)), None);
        assert_eq!(String::from_value(&json!(null)), None);
        assert_eq!(Value::from_value(&json!(null)), Some(Value::Null));
    }
}
