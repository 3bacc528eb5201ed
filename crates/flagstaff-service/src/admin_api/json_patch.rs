//! JSON patch: a list of operations on a JSON document, all or none.
//!
//! Source: RFC 6902, with the pointers of RFC 6901.

use serde::Deserialize;
use serde_json::Value;

use crate::management::ChangeError;
use crate::management::name::depth;

/// More than this in one request is a mistake.
const MOST_OPERATIONS: usize = 1000;

/// How many bytes the operations of one patch may copy, roughly. Each copy may double the document:
/// without a limit, thirty of them would take all memory there is.
const MOST_COPIED: usize = 2 * 1024 * 1024;

/// How deep a document may get on the way. Values that are moved into each other nest without end
/// otherwise, until whoever walks the document runs out of stack.
const DEEPEST: usize = 100;

/// One operation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Operation {
    op: String,
    path: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    #[serde(default)]
    from: Option<String>,
}

/// A value that is there, also when it is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Applies the operations in order. The document is unspecified after an error.
pub(super) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), ChangeError> {
    if operations.len() > MOST_OPERATIONS {
        let problem =
            format!("a patch has at most {MOST_OPERATIONS} operations, this one has {}", operations.len());
        return Err(ChangeError::invalid("patch", problem));
    }
    let mut copied = 0;
    for (place, operation) in operations.iter().enumerate() {
        Step { place, operation }.apply(document, &mut copied)?;
    }
    Ok(())
}

struct Step<'a> {
    place: usize,
    operation: &'a Operation,
}

impl Step<'_> {
    /// `copied` is what the operations so far copied, in bytes.
    fn apply(&self, document: &mut Value, copied: &mut usize) -> Result<(), ChangeError> {
        let path = self.pointer(&self.operation.path)?;
        match self.operation.op.as_str() {
            "add" => self.add(document, &path, self.value()?.clone()),
            "remove" => self.remove(document, &path).map(drop),
            "replace" => {
                let value = self.value()?.clone();
                self.check_depth(&path, &value)?;
                *self.find(document, &path)? = value;
                Ok(())
            }
            "move" => {
                let from = self.from()?;
                if path.len() > from.len() && path.starts_with(&from) {
                    return Err(self.wrong("a value cannot be moved into itself"));
                }
                let value = self.remove(document, &from)?;
                self.add(document, &path, value)
            }
            "copy" => {
                let value = self.find(document, &self.from()?)?;
                *copied = copied.saturating_add(size(value));
                if *copied > MOST_COPIED {
                    return Err(self.wrong(format!("the patch copies more than {MOST_COPIED} bytes")));
                }
                let value = value.clone();
                self.add(document, &path, value)
            }
            "test" => self.test(document, &path),
            other => Err(self.wrong(format!(
                "there is no operation `{}`; there are add, remove, replace, move, copy and test",
                other.escape_debug()
            ))),
        }
    }

    fn test(&self, document: &mut Value, path: &[String]) -> Result<(), ChangeError> {
        let value = self.value()?;
        let found = self.find(document, path)?;
        if same(found, value) {
            return Ok(());
        }
        let (operation, path) = (self.place, self.operation.path.clone());
        Err(ChangeError::TestFailed { operation, path, found: found.clone() })
    }

    fn add(&self, document: &mut Value, path: &[String], value: Value) -> Result<(), ChangeError> {
        self.check_depth(path, &value)?;
        let Some((last, parents)) = path.split_last() else {
            *document = value;
            return Ok(());
        };
        match self.find(document, parents)? {
            Value::Object(object) => {
                object.insert(last.clone(), value);
                Ok(())
            }
            Value::Array(list) => {
                let index = if last == "-" { list.len() } else { self.index(last, list.len() + 1)? };
                list.insert(index, value);
                Ok(())
            }
            _ => Err(self.nothing_there()),
        }
    }

    fn remove(&self, document: &mut Value, path: &[String]) -> Result<Value, ChangeError> {
        let Some((last, parents)) = path.split_last() else {
            return Err(self.wrong("the whole document cannot be removed"));
        };
        match self.find(document, parents)? {
            Value::Object(object) => object.remove(last).ok_or_else(|| self.nothing_there()),
            Value::Array(list) => {
                let index = self.index(last, list.len())?;
                Ok(list.remove(index))
            }
            _ => Err(self.nothing_there()),
        }
    }

    fn find<'d>(&self, document: &'d mut Value, path: &[String]) -> Result<&'d mut Value, ChangeError> {
        let mut here = document;
        for token in path {
            here = match here {
                Value::Object(object) => object.get_mut(token).ok_or_else(|| self.nothing_there())?,
                Value::Array(list) => {
                    let index = self.index(token, list.len())?;
                    &mut list[index]
                }
                _ => return Err(self.nothing_there()),
            };
        }
        Ok(here)
    }

    fn check_depth(&self, path: &[String], value: &Value) -> Result<(), ChangeError> {
        if path.len() + depth(value) <= DEEPEST {
            return Ok(());
        }
        Err(self.wrong(format!("the document would be more than {DEEPEST} levels deep")))
    }

    fn index(&self, token: &str, count: usize) -> Result<usize, ChangeError> {
        let plain =
            token.bytes().all(|digit| digit.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
        let index = token.parse().ok().filter(|_| plain);
        index.filter(|index| *index < count).ok_or_else(|| self.nothing_there())
    }

    fn pointer(&self, pointer: &str) -> Result<Vec<String>, ChangeError> {
        if pointer.is_empty() {
            return Ok(Vec::new());
        }
        let Some(tokens) = pointer.strip_prefix('/') else {
            return Err(
                self.wrong(format!("`{}` is not a path; it has to begin with `/`", pointer.escape_debug()))
            );
        };
        tokens.split('/').map(|token| self.unescape(token)).collect()
    }

    fn unescape(&self, token: &str) -> Result<String, ChangeError> {
        let bad = token.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']));
        if bad {
            return Err(self
                .wrong(format!("`{}` has a `~` that is followed by neither 0 nor 1", token.escape_debug())));
        }
        Ok(token.replace("~1", "/").replace("~0", "~"))
    }

    fn value(&self) -> Result<&Value, ChangeError> {
        self.operation
            .value
            .as_ref()
            .ok_or_else(|| self.wrong(format!("`{}` needs a `value`", self.operation.op)))
    }

    fn from(&self) -> Result<Vec<String>, ChangeError> {
        let from = self.operation.from.as_deref();
        self.pointer(from.ok_or_else(|| self.wrong(format!("`{}` needs a `from`", self.operation.op)))?)
    }

    fn nothing_there(&self) -> ChangeError {
        self.wrong(format!("there is nothing at `{}`", self.operation.path.escape_debug()))
    }

    fn wrong(&self, problem: impl Into<String>) -> ChangeError {
        ChangeError::invalid(format!("operation {} of the patch", self.place), problem)
    }
}

/// About as many bytes as the value takes as text, and never fewer than it has parts.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(size).sum::<usize>() + 2,
        Value::Object(object) => {
            object.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

/// Equal as JSON: 1 and 1.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut document: Value, patch: Value) -> Result<Value, String> {
        let operations: Vec<Operation> = serde_json::from_value(patch).map_err(|error| error.to_string())?;
        apply(&mut document, &operations).map_err(|error| error.to_string())?;
        Ok(document)
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        let document = json!({"a": [1, 2], "b": {"c/d": null}});
        for (patch, expected) in [
            (json!([{"op": "add", "path": "/a/-", "value": 3}]), json!({"a": [1, 2, 3], "b": {"c/d": null}})),
            (json!([{"op": "add", "path": "/a/0", "value": 0}]), json!({"a": [0, 1, 2], "b": {"c/d": null}})),
            (json!([{"op": "remove", "path": "/a/1"}]), json!({"a": [1], "b": {"c/d": null}})),
            (
                json!([{"op": "replace", "path": "/b/c~1d", "value": 5}]),
                json!({"a": [1, 2], "b": {"c/d": 5}}),
            ),
            (json!([{"op": "move", "from": "/a", "path": "/b/e"}]), json!({"b": {"c/d": null, "e": [1, 2]}})),
            (
                json!([{"op": "copy", "from": "/a/0", "path": "/f"}]),
                json!({"a": [1, 2], "b": {"c/d": null}, "f": 1}),
            ),
            (json!([{"op": "test", "path": "/a", "value": [1.0, 2]}]), document.clone()),
            (json!([{"op": "test", "path": "/b/c~1d", "value": null}]), document.clone()),
        ] {
            assert_eq!(patched(document.clone(), patch.clone()), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn what_cannot_be_done_says_which_operation_and_where() {
        let document = json!({"a": [1, 2]});
        for (patch, said) in [
            (json!([{"op": "remove", "path": "/x"}]), "there is nothing at `/x`"),
            (json!([{"op": "replace", "path": "/a/2", "value": 1}]), "there is nothing at `/a/2`"),
            (json!([{"op": "add", "path": "/a/01", "value": 1}]), "there is nothing at `/a/01`"),
            (json!([{"op": "add", "path": "a", "value": 1}]), "it has to begin with `/`"),
            (json!([{"op": "add", "path": "/a~2", "value": 1}]), "followed by neither 0 nor 1"),
            (json!([{"op": "add", "path": "/b"}]), "needs a `value`"),
            (json!([{"op": "move", "path": "/b"}]), "needs a `from`"),
            (json!([{"op": "move", "from": "/a", "path": "/a/0"}]), "into itself"),
            (json!([{"op": "merge", "path": "/a"}]), "there is no operation `merge`"),
            (json!([{"op": "test", "path": "/a/0", "value": 2}]), "the value there is 1"),
        ] {
            let error = patched(document.clone(), patch.clone()).expect_err(&patch.to_string());
            assert!(error.contains(said), "{patch}: {error}");
            assert!(error.contains("operation 0"), "{patch}: {error}");
        }
    }

    #[test]
    fn copies_that_double_the_document_are_refused_before_they_fill_the_memory() {
        let document = json!({"a": "x".repeat(1000)});
        let copies: Vec<Value> =
            (0..40).map(|copy| json!({"op": "copy", "from": "", "path": format!("/{copy}")})).collect();
        let error = patched(document.clone(), json!(copies)).expect_err("a trillion bytes");
        assert!(error.contains("copies more than"), "{error}");
        assert!(patched(document, json!(&copies[..5])).is_ok());
    }

    #[test]
    fn values_moved_into_each_other_nest_only_so_deep() {
        let list = (0..30).fold(json!([]), |inner, _| json!([inner]));
        let inside = format!("/b{}/-", "/0".repeat(30));
        let deeper = [
            json!({"op": "add", "path": "/b", "value": list}),
            json!({"op": "move", "from": "/a", "path": inside}),
            json!({"op": "move", "from": "/b", "path": "/a"}),
        ];
        let times = |count: usize| json!(deeper.iter().cycle().take(3 * count).collect::<Vec<_>>());
        assert!(patched(json!({"a": list}), times(1)).is_ok());
        let error = patched(json!({"a": list}), times(300)).expect_err("thousands of levels");
        assert!(error.contains("more than 100 levels deep"), "{error}");
        let deep = (0..80).fold(json!([]), |inner, _| json!([inner]));
        let replace = json!([{"op": "replace", "path": format!("/b{}", "/0".repeat(75)), "value": list}]);
        let error = patched(json!({"b": deep}), replace).expect_err("more than a hundred levels");
        assert!(error.contains("more than 100 levels deep"), "{error}");
    }
}
