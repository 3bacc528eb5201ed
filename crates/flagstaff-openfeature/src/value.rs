//! Values with a structure, from OpenFeature to JSON and back.

use std::any::Any;
use std::collections::HashMap;

use flagstaff_sdk::Value;
use open_feature::{EvaluationContext, StructValue};

use crate::context::fields;

/// What a program put into a context, as JSON; none if it is of a type that cannot be read.
pub(crate) fn structure_to_json(structure: &(dyn Any + Send + Sync)) -> Option<Value> {
    if let Some(value) = structure.downcast_ref::<StructValue>() {
        return Some(fields_to_json(&value.fields));
    }
    if let Some(value) = structure.downcast_ref::<open_feature::Value>() {
        return Some(to_json(value));
    }
    if let Some(fields) = structure.downcast_ref::<HashMap<String, open_feature::Value>>() {
        return Some(fields_to_json(fields));
    }
    if let Some(list) = structure.downcast_ref::<Vec<open_feature::Value>>() {
        return Some(list.iter().map(to_json).collect());
    }
    if let Some(list) = structure.downcast_ref::<Vec<String>>() {
        return Some(list.iter().map(String::as_str).collect());
    }
    if let Some(value) = structure.downcast_ref::<Value>() {
        return Some(value.clone());
    }
    structure
        .downcast_ref::<EvaluationContext>()
        .and_then(|context| Some(fields(context).ok()?.into_iter().collect()))
}

fn to_json(value: &open_feature::Value) -> Value {
    match value {
        open_feature::Value::Bool(value) => (*value).into(),
        open_feature::Value::Int(number) => (*number).into(),
        open_feature::Value::Float(number) => (*number).into(),
        open_feature::Value::String(text) => text.as_str().into(),
        open_feature::Value::Array(list) => list.iter().map(to_json).collect(),
        open_feature::Value::Struct(value) => fields_to_json(&value.fields),
    }
}

fn fields_to_json(fields: &HashMap<String, open_feature::Value>) -> Value {
    fields.iter().map(|(name, value)| (name.as_str(), to_json(value))).collect()
}

/// A flag's value as a structure; none if it is no object, or has something in it that OpenFeature
/// has no type for: null in a list.
pub(crate) fn structure_from_json(value: Value) -> Option<StructValue> {
    let Value::Object(members) = value else { return None };
    let mut structure = StructValue::default();
    for (name, value) in members {
        if !value.is_null() {
            structure.fields.insert(name, from_json(value)?);
        }
    }
    Some(structure)
}

fn from_json(value: Value) -> Option<open_feature::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => open_feature::Value::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => open_feature::Value::Int(whole),
            None => open_feature::Value::Float(number.as_f64()?),
        },
        Value::String(text) => open_feature::Value::String(text),
        Value::Array(list) => {
            open_feature::Value::Array(list.into_iter().map(from_json).collect::<Option<_>>()?)
        }
        Value::Object(_) => open_feature::Value::Struct(structure_from_json(value)?),
    })
}
