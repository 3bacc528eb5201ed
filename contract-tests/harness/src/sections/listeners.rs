//! Section 9: listeners of changes of flags and of values.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::{ensure, same};
use crate::flags::{
    data, delete, flag, flags, for_segment, patch_flag, patch_segment, put, segment, serving, user,
};
use crate::mock::{Answer, Endpoint, Live};
use crate::scene::{A_WHILE, Client, SOON, Scene};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_changes(suite);
    add_values(suite);
}

/// A client with a listener, its stream, and where the listener tells of changes.
struct Listening {
    client: Client,
    stream: Live,
    told: Endpoint,
    _service: Endpoint,
}

async fn listening(
    scene: &Scene,
    first: &Value,
    command: &str,
    parameters: Value,
) -> Result<Listening, String> {
    let (client, service) = scene.streaming_client(first).await?;
    let told = scene.endpoint("listener", Answer::status(202)).await?;
    let base = json!({"listenerId": "l", "callbackUri": told.url});
    client.command(command, crate::flags::with(base, parameters)).await?;
    let stream = service.stream(0, SOON).await?;
    Ok(Listening { client, stream, told, _service: service })
}

impl Listening {
    /// The keys that were told of, sorted, once there are so many.
    async fn keys(&self, count: usize) -> Result<Vec<String>, String> {
        if count > 0 {
            self.told.request(count - 1, SOON).await?;
        }
        self.told.no_request_after(count, A_WHILE).await?;
        let mut keys = Vec::new();
        for request in self.told.requests() {
            let told = request.json()?;
            same("the listener", &told["listenerId"], &json!("l"))?;
            keys.push(told["flagKey"].as_str().unwrap_or_default().to_owned());
        }
        keys.sort();
        Ok(keys)
    }
}

fn add_changes(suite: &mut Suite) {
    let group = suite.group("9 listeners: changes of flags").needs("flag-change-listeners");
    let needing = |key: &str, version: u64, other: &str| {
        flag(
            key,
            version,
            json!({
                "on": true, "variations": [key], "fallthrough": {"variation": 0},
                "prerequisites": [{"key": other, "variation": 0}],
            }),
        )
    };
    let in_segment = |other: &str| {
        let clause = json!({"attribute": "", "op": "segmentMatch", "values": [other], "negate": false});
        json!({"rules": [{"clauses": [clause]}]})
    };
    let cases: Vec<(&str, Value, String, Vec<&str>)> = vec![
        (
            "a patched flag is told",
            flags([serving("f", 1, "a"), serving("g", 1, "a")]),
            patch_flag(&serving("f", 2, "b")),
            vec!["f"],
        ),
        ("a new flag is told", flags([]), patch_flag(&serving("f", 1, "a")), vec!["f"]),
        ("a deleted flag is told", flags([serving("f", 1, "a")]), delete("/flags/f", 2), vec!["f"]),
        (
            "a patch that is dropped is not told",
            flags([serving("f", 2, "a")]),
            patch_flag(&serving("f", 1, "b")),
            vec![],
        ),
        (
            "of a put, those that changed, came and went are told",
            flags([serving("same", 1, 0), serving("changed", 1, 0), serving("gone", 1, 0)]),
            put(&flags([serving("same", 1, 0), serving("changed", 2, 1), serving("new", 1, 0)])),
            vec!["changed", "gone", "new"],
        ),
        (
            "flags that need a changed flag are told, however far",
            flags([needing("a", 1, "b"), needing("b", 1, "c"), serving("c", 1, 0), serving("d", 1, 0)]),
            patch_flag(&serving("c", 2, 1)),
            vec!["a", "b", "c"],
        ),
        (
            "flags that use a changed segment are told, and those that need them",
            data(
                [for_segment("f", "s"), needing("g", 1, "f"), serving("h", 1, 0)],
                [segment("s", 1, json!({}))],
            ),
            patch_segment(&segment("s", 2, json!({}))),
            vec!["f", "g"],
        ),
        (
            "flags whose segment uses a changed segment are told",
            data([for_segment("f", "s")], [segment("s", 1, in_segment("t")), segment("t", 1, json!({}))]),
            patch_segment(&segment("t", 2, json!({"included": ["x"]}))),
            vec!["f"],
        ),
        (
            "flags that use a deleted segment are told",
            data([for_segment("f", "s")], [segment("s", 1, json!({}))]),
            delete("/segments/s", 2),
            vec!["f"],
        ),
    ];
    for (name, first, message, want) in cases {
        group.test(name, move |scene| {
            let (first, message, want) = (first.clone(), message.clone(), want.clone());
            async move {
                let listening = listening(&scene, &first, "registerFlagChangeListener", json!({})).await?;
                listening.stream.send(message);
                let keys = listening.keys(want.len()).await?;
                ensure(keys == want, || format!("{keys:?} were told, not {want:?}"))
            }
        });
    }
    group
        .test("values are not told", |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "a")]), "registerFlagChangeListener", json!({}))
                    .await?;
            listening.stream.send(patch_flag(&serving("f", 2, "b")));
            let told = listening.told.request(0, SOON).await?.json()?;
            same("what was told", &told, &json!({"listenerId": "l", "flagKey": "f"}))
        })
        .test("a listener that was removed is told nothing more", |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "a")]), "registerFlagChangeListener", json!({}))
                    .await?;
            listening.stream.send(patch_flag(&serving("f", 2, "b")));
            listening.told.request(0, SOON).await?;
            listening.client.command("unregisterListener", json!({"listenerId": "l"})).await?;
            listening.stream.send(patch_flag(&serving("f", 3, "c")));
            listening.client.soon_has_value("f", "c").await?;
            listening.told.no_request_after(1, A_WHILE).await
        })
        .test("two listeners are both told", |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "a")]), "registerFlagChangeListener", json!({}))
                    .await?;
            let other = scene.endpoint("second listener", Answer::status(202)).await?;
            let second = json!({"listenerId": "second", "callbackUri": other.url});
            listening.client.command("registerFlagChangeListener", second).await?;
            listening.stream.send(patch_flag(&serving("f", 2, "b")));
            let told = other.request(0, SOON).await?.json()?;
            same("what the second was told", &told, &json!({"listenerId": "second", "flagKey": "f"}))?;
            listening.told.request(0, SOON).await.map(|_| ())
        })
        .test("one that fails keeps nobody from hearing of later changes", |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "a")]), "registerFlagChangeListener", json!({}))
                    .await?;
            listening.told.answer(Answer::status(500));
            listening.stream.send(patch_flag(&serving("f", 2, "b")));
            listening.told.request(0, SOON).await?;
            listening.stream.send(patch_flag(&serving("f", 3, "c")));
            listening.told.request(1, SOON).await?;
            listening.client.soon_has_value("f", "c").await
        });
}

/// A name, first data, then a message, and the old and the new value that are told, if any are.
type ValueCase = (&'static str, Value, String, Option<(Value, Value)>);

fn add_values(suite: &mut Suite) {
    let group = suite.group("9 listeners: changes of values").needs("flag-value-change-listeners");
    let of_f = || json!({"flagKey": "f", "context": user(), "defaultValue": "d"});
    let targeted = |version: u64, key: &str| {
        flag(
            "f",
            version,
            json!({
                "on": true, "variations": ["no", "yes"], "fallthrough": {"variation": 0},
                "targets": [{"variation": 1, "values": [key]}],
            }),
        )
    };
    let cases: Vec<ValueCase> = vec![
        (
            "a new value is told with the old one",
            flags([serving("f", 1, "a")]),
            patch_flag(&serving("f", 2, "b")),
            Some((json!("a"), json!("b"))),
        ),
        (
            "a new version with the same value is not told",
            flags([serving("f", 1, "a")]),
            patch_flag(&serving("f", 2, "a")),
            None,
        ),
        (
            "another flag is not told",
            flags([serving("f", 1, "a"), serving("g", 1, "a")]),
            patch_flag(&serving("g", 2, "b")),
            None,
        ),
        (
            "a deleted flag has the default",
            flags([serving("f", 1, "a")]),
            delete("/flags/f", 2),
            Some((json!("a"), json!("d"))),
        ),
        (
            "a new flag had the default",
            flags([]),
            patch_flag(&serving("f", 1, "a")),
            Some((json!("d"), json!("a"))),
        ),
        (
            "objects are compared by what they hold",
            flags([serving("f", 1, json!({"a": 1, "b": [2]}))]),
            patch_flag(&serving("f", 2, json!({"b": [2], "a": 1}))),
            None,
        ),
        (
            "what changes for this context is told",
            flags([targeted(1, "someone")]),
            patch_flag(&targeted(2, "user-key")),
            Some((json!("no"), json!("yes"))),
        ),
        (
            "what changes for another context is not told",
            flags([targeted(1, "someone")]),
            patch_flag(&targeted(2, "another")),
            None,
        ),
        (
            "a changed segment is told by the value",
            data([for_segment("f", "s")], [segment("s", 1, json!({}))]),
            patch_segment(&segment("s", 2, json!({"included": ["user-key"]}))),
            Some((json!(false), json!(true))),
        ),
        (
            "a put is told",
            flags([serving("f", 1, "a")]),
            put(&flags([serving("f", 2, "b")])),
            Some((json!("a"), json!("b"))),
        ),
    ];
    for (name, first, message, want) in cases {
        group.test(name, move |scene| {
            let (first, message, want) = (first.clone(), message.clone(), want.clone());
            async move {
                let listening = listening(&scene, &first, "registerFlagValueChangeListener", of_f()).await?;
                listening.stream.send(message);
                let Some((old, new)) = want else {
                    return listening.told.no_request_after(0, Duration::from_millis(600)).await;
                };
                let told = listening.told.request(0, SOON).await?.json()?;
                let want = json!({"listenerId": "l", "flagKey": "f", "oldValue": old, "newValue": new});
                same("what was told", &told, &want)?;
                listening.told.no_request_after(1, Duration::from_millis(100)).await
            }
        });
    }
    group
        .test("changes are told in order", move |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "v1")]), "registerFlagValueChangeListener", of_f())
                    .await?;
            for version in 2..6 {
                listening.stream.send(patch_flag(&serving("f", version, format!("v{version}"))));
                let told = listening.told.request(version as usize - 2, SOON).await?.json()?;
                same("the old value", &told["oldValue"], &json!(format!("v{}", version - 1)))?;
                same("the new value", &told["newValue"], &json!(format!("v{version}")))?;
            }
            Ok(())
        })
        .test("a listener that was removed is told nothing more", move |scene| async move {
            let listening =
                listening(&scene, &flags([serving("f", 1, "a")]), "registerFlagValueChangeListener", of_f())
                    .await?;
            listening.client.command("unregisterListener", json!({"listenerId": "l"})).await?;
            listening.stream.send(patch_flag(&serving("f", 2, "b")));
            listening.client.soon_has_value("f", "b").await?;
            listening.told.no_request_after(0, A_WHILE).await
        });
}
