//! JSON values to plain Python data, and back.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::interrupts;
use crate::visits;

/// How deep a caller's data may be nested: deeper is nobody's.
const MAX_DEPTH: usize = 100;
/// How many values a caller's data may hold. Few that refer to each other twice and twice again stand for
/// more than anybody can wait for.
const MAX_VALUES: usize = 100_000;

/// Fresh Python data: whoever changes it changes nothing of ours. Integers up to 64 bits stay
/// integers, `1.0` stays a float.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Number(number) => number_to_python(py, number)?,
        Value::Array(elements) => {
            let list = PyList::empty(py);
            for element in elements {
                list.append(to_python(py, element)?)?;
            }
            list.into_any()
        }
        Value::Object(properties) => {
            let dict = PyDict::new(py);
            for (name, value) in properties {
                dict.set_item(name, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

fn number_to_python<'py>(py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
    Ok(if let Some(value) = number.as_i64() {
        value.into_pyobject(py)?.into_any()
    } else if let Some(value) = number.as_u64() {
        value.into_pyobject(py)?.into_any()
    } else {
        PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any()
    })
}

/// A caller's data as JSON. Never fails: what JSON has no form for becomes `str()` of it, and
/// `replaced` then names its type.
#[derive(Default)]
pub(crate) struct FromPython {
    /// The type of the first object that JSON has no form for.
    pub(crate) replaced: Option<String>,
    /// The containers around the value that is looked at. One that holds itself has no JSON form.
    around: Vec<usize>,
    /// How many values were looked at.
    values: usize,
}

impl FromPython {
    pub(crate) fn value(&mut self, value: &Bound<'_, PyAny>) -> Value {
        self.nested(value, 0)
    }

    /// The members of a dictionary, as a JSON object.
    pub(crate) fn object(&mut self, dict: &Bound<'_, PyDict>) -> Map<String, Value> {
        self.members(dict, 0)
    }

    fn nested(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Value {
        self.values += 1;
        if value.is_none() {
            Value::Null
        } else if let Ok(text) = value.cast::<PyString>() {
            Value::String(text.to_string_lossy().into_owned())
        } else if let Ok(value) = value.cast::<PyBool>() {
            Value::Bool(value.is_true())
        } else if value.is_instance_of::<PyInt>() {
            self.integer(value)
        } else if let Ok(value) = value.cast::<PyFloat>() {
            let number = Number::from_f64(value.value());
            number.map_or_else(|| self.text(value), Value::Number)
        } else if depth == MAX_DEPTH || self.values > MAX_VALUES || self.around.contains(&address(value)) {
            // Its `str()` may be as endless.
            self.replaced.get_or_insert_with(|| type_name(value));
            Value::String(format!("<{}>", type_name(value)))
        } else {
            self.around.push(address(value));
            let converted = self.container(value, depth);
            self.around.pop();
            converted
        }
    }

    fn container(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Value {
        if let Ok(dict) = value.cast::<PyDict>() {
            Value::Object(self.members(dict, depth))
        } else if let Ok(list) = value.cast::<PyList>() {
            Value::Array(list.iter().map(|element| self.nested(&element, depth + 1)).collect())
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            Value::Array(tuple.iter().map(|element| self.nested(&element, depth + 1)).collect())
        } else if let Some(copy) = copy_of_mapping(value) {
            Value::Object(self.members(&copy, depth))
        } else {
            self.text(value)
        }
    }

    fn integer(&mut self, value: &Bound<'_, PyAny>) -> Value {
        if let Ok(value) = value.extract::<i64>() {
            return value.into();
        }
        if let Ok(value) = value.extract::<u64>() {
            return value.into();
        }
        let number = value.extract::<f64>().ok().and_then(Number::from_f64);
        number.map_or_else(|| self.text(value), Value::Number)
    }

    fn members(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Map<String, Value> {
        // A copy, because `str()` of an exotic key or value may run code that changes the dictionary.
        let Ok(copy) = dict.copy() else {
            return Map::new();
        };
        copy.iter().map(|(name, value)| (self.name(&name), self.nested(&value, depth + 1))).collect()
    }

    /// Names that are not text are spelt as Python's own JSON writer spells them.
    fn name(&mut self, name: &Bound<'_, PyAny>) -> String {
        if let Ok(text) = name.cast::<PyString>() {
            text.to_string_lossy().into_owned()
        } else if name.is_none() {
            "null".to_owned()
        } else if let Ok(value) = name.cast::<PyBool>() {
            value.is_true().to_string()
        } else {
            text_of(name)
        }
    }

    fn text(&mut self, value: &Bound<'_, PyAny>) -> Value {
        self.replaced.get_or_insert_with(|| type_name(value));
        Value::String(text_of(value))
    }
}

/// What tells an object from all others that there are at the time.
fn address(value: &Bound<'_, PyAny>) -> usize {
    value.as_ptr() as usize
}

/// `str()` of anything; an object that refuses is named by its type.
pub(crate) fn text_of(value: &Bound<'_, PyAny>) -> String {
    let counted = visits::enter();
    if counted.is_none() {
        return format!("<{}>", type_name(value));
    }
    match value.str() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(error) => {
            interrupts::put_by(value.py(), error);
            format!("<{}>", type_name(value))
        }
    }
}

pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A dictionary with what any other mapping holds; none if it is no mapping, or refuses to be read.
pub(crate) fn copy_of_mapping<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let mapping = value.cast::<PyMapping>().ok()?;
    let _counted = visits::enter()?;
    let copy = PyDict::new(value.py());
    match copy.update(mapping) {
        Ok(()) => Some(copy),
        Err(error) => {
            interrupts::put_by(value.py(), error);
            None
        }
    }
}
