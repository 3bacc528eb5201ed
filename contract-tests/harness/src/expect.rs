//! Comparing what came with what the protocol says.

use serde_json::Value;

/// Fails with what was expected and what came.
pub(crate) fn same(what: &str, got: &Value, want: &Value) -> Result<(), String> {
    if equal(got, want) { Ok(()) } else { Err(format!("{what}: expected\n{want}\nbut it is\n{got}")) }
}

/// Fails unless it holds.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Equal as JSON, where a null property counts as absent and 1 equals 1.0.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys())
            .all(|name| equal(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null))),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Whether every property of `part` is in `whole`, at any depth; lists are compared whole.
pub(crate) fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| contains(whole.get(name).unwrap_or(&Value::Null), value))
        }
        _ => equal(whole, part),
    }
}

/// Fails unless every property of `part` is there.
pub(crate) fn has(what: &str, got: &Value, part: &Value) -> Result<(), String> {
    if contains(got, part) {
        Ok(())
    } else {
        Err(format!("{what}: expected at least\n{part}\nbut it is\n{got}"))
    }
}

/// Fails unless the lists hold the same, in any order.
pub(crate) fn same_set(what: &str, got: &[Value], want: &[Value]) -> Result<(), String> {
    let mut rest: Vec<&Value> = got.iter().collect();
    let found = want.iter().all(|want| {
        let at = rest.iter().position(|got| equal(got, want));
        at.map(|at| rest.swap_remove(at)).is_some()
    });
    if found && rest.is_empty() {
        return Ok(());
    }
    Err(format!("{what}: expected, in any order,\n{}\nbut they are\n{}", Value::from(want), Value::from(got)))
}
