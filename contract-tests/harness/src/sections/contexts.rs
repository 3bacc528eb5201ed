//! Sections 1.4 and 1.5: contexts built, and converted from JSON.

use serde_json::{Value, json};

use crate::expect::{ensure, same};
use crate::flags::flags;
use crate::scene::{Client, Scene};
use crate::suite::{Suite, Verdict};

pub(crate) fn add(suite: &mut Suite) {
    add_build(suite);
    add_convert(suite);
    add_legacy(suite);
}

/// A client that has nothing to do with flags.
pub(super) async fn client(scene: &Scene) -> Result<(Client, crate::mock::Endpoint), String> {
    scene.streaming_client(&flags([])).await
}

fn add_build(suite: &mut Suite) {
    let group = suite.group("1.4 contexts: build").needs("context-type");
    let good = [
        ("a key alone makes a user", json!({"single": {"key": "a"}}), json!({"kind": "user", "key": "a"})),
        ("a kind", json!({"single": {"kind": "org", "key": "a"}}), json!({"kind": "org", "key": "a"})),
        (
            "a kind of every allowed character",
            json!({"single": {"kind": "aZ09._-", "key": "a"}}),
            json!({"kind": "aZ09._-", "key": "a"}),
        ),
        (
            "a name",
            json!({"single": {"key": "a", "name": "b"}}),
            json!({"kind": "user", "key": "a", "name": "b"}),
        ),
        (
            "anonymous is written if it is true",
            json!({"single": {"key": "a", "anonymous": true}}),
            json!({"kind": "user", "key": "a", "anonymous": true}),
        ),
        (
            "anonymous is not written if it is false",
            json!({"single": {"key": "a", "anonymous": false}}),
            json!({"kind": "user", "key": "a"}),
        ),
        (
            "custom attributes of every type",
            json!({"single": {"key": "a", "custom": {
                "s": "x", "n": 1.5, "i": 3, "t": true, "f": false, "l": [1, "a", null], "o": {"p": {"q": 1}}, "e": {}}}}),
            json!({"kind": "user", "key": "a", "s": "x", "n": 1.5, "i": 3, "t": true, "f": false,
                   "l": [1, "a", null], "o": {"p": {"q": 1}}, "e": {}}),
        ),
        (
            "a custom attribute that is null is none",
            json!({"single": {"key": "a", "custom": {"x": null}}}),
            json!({"kind": "user", "key": "a"}),
        ),
        (
            "private attributes",
            json!({"single": {"key": "a", "private": ["b", "/c/d"]}}),
            json!({"kind": "user", "key": "a", "_meta": {"privateAttributes": ["b", "/c/d"]}}),
        ),
        (
            "an empty list of private attributes is not written",
            json!({"single": {"key": "a", "private": []}}),
            json!({"kind": "user", "key": "a"}),
        ),
        (
            "several kinds",
            json!({"multi": [{"kind": "org", "key": "o", "name": "n"}, {"kind": "user", "key": "u", "custom": {"x": 1}}]}),
            json!({"kind": "multi", "org": {"key": "o", "name": "n"}, "user": {"key": "u", "x": 1}}),
        ),
        (
            "several kinds, of which one has private attributes",
            json!({"multi": [{"kind": "org", "key": "o", "private": ["p"]}, {"kind": "user", "key": "u"}]}),
            json!({"kind": "multi", "org": {"key": "o", "_meta": {"privateAttributes": ["p"]}}, "user": {"key": "u"}}),
        ),
        (
            "a multi-context of one kind is that kind's context",
            json!({"multi": [{"kind": "org", "key": "o"}]}),
            json!({"kind": "org", "key": "o"}),
        ),
    ];
    for (name, parameters, expected) in good {
        group.test(format!("it takes: {name}"), move |scene| {
            outputs(scene, "contextBuild", parameters.clone(), expected.clone())
        });
    }
    let bad = [
        ("no key", json!({"single": {"kind": "org"}})),
        ("an empty key", json!({"single": {"key": ""}})),
        ("the kind `kind`", json!({"single": {"kind": "kind", "key": "a"}})),
        ("the kind `multi`", json!({"single": {"kind": "multi", "key": "a"}})),
        ("an empty kind", json!({"single": {"kind": "", "key": "a"}})),
        ("a kind with a space", json!({"single": {"kind": "a b", "key": "a"}})),
        ("a kind with a slash", json!({"single": {"kind": "a/b", "key": "a"}})),
        ("a kind with a letter that is not ASCII", json!({"single": {"kind": "ø", "key": "a"}})),
        ("no kinds", json!({"multi": []})),
        ("the same kind twice", json!({"multi": [{"kind": "org", "key": "a"}, {"kind": "org", "key": "b"}]})),
        ("a bad member", json!({"multi": [{"kind": "org", "key": "a"}, {"kind": "user", "key": ""}]})),
    ];
    for (name, parameters) in bad {
        // Whether an empty kind is the default or an error differs, but it never gets through as it is.
        group.test(format!("it refuses {name}"), move |scene| {
            refuses(scene, "contextBuild", parameters.clone())
        });
    }
}

async fn outputs(scene: Scene, command: &str, parameters: Value, expected: Value) -> Verdict {
    let (client, _service) = client(&scene).await?;
    let answer = client.command(command, parameters).await?;
    let Some(output) = answer["output"].as_str() else {
        return Err(format!("there is no output: {answer}"));
    };
    let output: Value = serde_json::from_str(output).map_err(|error| format!("{error}: {output}"))?;
    same("the context", &canonical(output.clone()), &canonical(expected.clone()))?;
    // What must not be written is told apart from what is written as null.
    let names = |context: &Value| -> Vec<String> {
        context.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (mut got, mut want) = (names(&output), names(&expected));
    got.sort();
    want.sort();
    ensure(got == want, || format!("it has the properties {got:?}, not {want:?}"))
}

/// With private attributes in order, and `/a` spelt `a`: both are right.
fn canonical(mut context: Value) -> Value {
    let normal = |reference: &Value| {
        let text = reference.as_str().unwrap_or_default();
        match text.strip_prefix('/') {
            Some(rest) if !rest.contains(['/', '~']) => rest.to_owned(),
            _ => text.to_owned(),
        }
    };
    if let Some(list) = context.pointer_mut("/_meta/privateAttributes").and_then(Value::as_array_mut) {
        let mut texts: Vec<String> = list.iter().map(normal).collect();
        texts.sort();
        *list = texts.into_iter().map(Value::from).collect();
    }
    if context["kind"] == "multi" {
        for (_, member) in context.as_object_mut().into_iter().flatten() {
            if member.is_object() {
                *member = canonical(member.take());
            }
        }
    }
    context
}

async fn refuses(scene: Scene, command: &str, parameters: Value) -> Verdict {
    let (client, _service) = client(&scene).await?;
    let answer = client.command(command, parameters).await?;
    let refused = answer["error"].as_str().is_some_and(|error| !error.is_empty());
    ensure(refused, || format!("it was not refused: {answer}"))
}

fn add_convert(suite: &mut Suite) {
    let group = suite.group("1.4 contexts: convert").needs("context-type");
    let unchanged = [
        r#"{"kind":"user","key":"a"}"#,
        r#"{"kind":"org","key":"a","name":"b"}"#,
        r#"{"kind":"user","key":"a","anonymous":true}"#,
        r#"{"kind":"user","key":"a","x":{"y":[1,null,{}]},"z":1.5}"#,
        r#"{"kind":"user","key":"a","_meta":{"privateAttributes":["b"]}}"#,
        r#"{"kind":"multi","user":{"key":"a"},"org":{"key":"b","name":"c"}}"#,
        r#"{"kind":"multi","user":{"key":"a","_meta":{"privateAttributes":["x"]}},"org":{"key":"b"}}"#,
        // Properties that only users of old had mean nothing here.
        r#"{"kind":"user","key":"a","custom":{"b":1},"privateAttributeNames":["x"]}"#,
    ];
    for text in unchanged {
        group.test(format!("{text} comes out as it went in"), move |scene| async move {
            let expected = serde_json::from_str(text).map_err(|error| error.to_string())?;
            outputs(scene, "contextConvert", json!({"input": text}), expected).await
        });
    }
    let changed = [
        (r#"{"kind":"user","key":"a","anonymous":false}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","name":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","x":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","_meta":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","_meta":{}}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","_meta":{"privateAttributes":null}}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","_meta":{"privateAttributes":[]}}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"user","key":"a","_meta":{"other":1}}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"kind":"multi","org":{"key":"b"}}"#, r#"{"kind":"org","key":"b"}"#),
        (r#"  { "kind" : "user" , "key" : "\u0061" }  "#, r#"{"kind":"user","key":"a"}"#),
    ];
    for (text, expected) in changed {
        group.test(format!("{text} comes out as {expected}"), move |scene| async move {
            let expected = serde_json::from_str(expected).map_err(|error| error.to_string())?;
            outputs(scene, "contextConvert", json!({"input": text}), expected).await
        });
    }
    let refused = [
        "",
        "{",
        "[]",
        "3",
        "null",
        r#""a""#,
        "{}",
        r#"{"kind":"user"}"#,
        r#"{"kind":"user","key":""}"#,
        r#"{"kind":"user","key":null}"#,
        r#"{"kind":"user","key":3}"#,
        r#"{"kind":null,"key":"a"}"#,
        r#"{"kind":3,"key":"a"}"#,
        r#"{"kind":"","key":"a"}"#,
        r#"{"kind":"kind","key":"a"}"#,
        r#"{"kind":"a b","key":"a"}"#,
        r#"{"kind":"user","key":"a","name":3}"#,
        r#"{"kind":"user","key":"a","anonymous":null}"#,
        r#"{"kind":"user","key":"a","anonymous":"yes"}"#,
        r#"{"kind":"user","key":"a","_meta":"x"}"#,
        r#"{"kind":"user","key":"a","_meta":{"privateAttributes":"x"}}"#,
        r#"{"kind":"user","key":"a","_meta":{"privateAttributes":[3]}}"#,
        r#"{"kind":"multi"}"#,
        r#"{"kind":"multi","org":"x"}"#,
        r#"{"kind":"multi","org":{"key":""}}"#,
        r#"{"kind":"multi","org":{"key":3}}"#,
        r#"{"kind":"multi","org":{"key":"b"},"a b":{"key":"c"}}"#,
        r#"{"kind":"multi","org":{"key":"b","anonymous":3},"user":{"key":"c"}}"#,
    ];
    for text in refused {
        group.test(format!("`{text}` is refused"), move |scene| {
            refuses(scene, "contextConvert", json!({"input": text}))
        });
    }
}

fn add_legacy(suite: &mut Suite) {
    let group = suite.group("1.5 contexts: convert a user").needs("context-type").needs("user-type");
    let converted = [
        (r#"{"key":"a"}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":""}"#, r#"{"kind":"user","key":""}"#),
        (
            r#"{"key":"a","name":"b","firstName":"c","lastName":"d","email":"e","avatar":"f","country":"g","ip":"h"}"#,
            r#"{"kind":"user","key":"a","name":"b","firstName":"c","lastName":"d","email":"e","avatar":"f","country":"g","ip":"h"}"#,
        ),
        (r#"{"key":"a","name":null,"firstName":null,"email":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","anonymous":true}"#, r#"{"kind":"user","key":"a","anonymous":true}"#),
        (r#"{"key":"a","anonymous":false}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","anonymous":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","secondary":"b"}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","secondary":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","custom":null}"#, r#"{"kind":"user","key":"a"}"#),
        (r#"{"key":"a","custom":{"b":null}}"#, r#"{"kind":"user","key":"a"}"#),
        (
            r#"{"key":"a","custom":{"b":true,"c":[1],"d":{"e":1}}}"#,
            r#"{"kind":"user","key":"a","b":true,"c":[1],"d":{"e":1}}"#,
        ),
        (
            r#"{"key":"a","custom":{"kind":"x","key":"x","name":"x","anonymous":true,"_meta":{"privateAttributes":["x"]},"y":1}}"#,
            r#"{"kind":"user","key":"a","y":1}"#,
        ),
        (
            r#"{"key":"a","privateAttributeNames":["b","c"]}"#,
            r#"{"kind":"user","key":"a","_meta":{"privateAttributes":["b","c"]}}"#,
        ),
        (r#"{"key":"a","privateAttributeNames":null}"#, r#"{"kind":"user","key":"a"}"#),
        (
            r#"{"key":"a","firstName":"b","custom":{"x":1},"privateAttributeNames":["/x"]}"#,
            r#"{"kind":"user","key":"a","firstName":"b","x":1,"_meta":{"privateAttributes":["/~1x"]}}"#,
        ),
        (r#"{"key":"a","unheardOf":1}"#, r#"{"kind":"user","key":"a"}"#),
    ];
    for (text, expected) in converted {
        group.test(format!("{text} becomes {expected}"), move |scene| async move {
            let expected = serde_json::from_str(expected).map_err(|error| error.to_string())?;
            outputs(scene, "contextConvert", json!({"input": text}), expected).await
        });
    }
    let nobody = [r#"{"name":"a"}"#, r#"{"key":null}"#];
    for text in nobody {
        group.test(format!("{text} is refused"), move |scene| {
            refuses(scene, "contextConvert", json!({"input": text}))
        });
    }
    let group = suite.group("1.5 contexts: users of wrong types").needs("context-type").needs("strict-users");
    let refused = [
        r#"{"key":3}"#,
        r#"{"key":"a","name":3}"#,
        r#"{"key":"a","firstName":3}"#,
        r#"{"key":"a","lastName":true}"#,
        r#"{"key":"a","email":[]}"#,
        r#"{"key":"a","avatar":3}"#,
        r#"{"key":"a","country":3}"#,
        r#"{"key":"a","ip":3}"#,
        r#"{"key":"a","anonymous":"yes"}"#,
        r#"{"key":"a","custom":"x"}"#,
        r#"{"key":"a","custom":[]}"#,
        r#"{"key":"a","privateAttributeNames":"x"}"#,
        r#"{"key":"a","privateAttributeNames":[3]}"#,
    ];
    for text in refused {
        group.test(format!("{text} is refused"), move |scene| {
            refuses(scene, "contextConvert", json!({"input": text}))
        });
    }
}
