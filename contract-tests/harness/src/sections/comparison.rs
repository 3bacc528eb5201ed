//! Sections 1.4, 1.7 and 6.5: contexts compared, and hashed for secure mode.

use serde_json::{Value, json};

use super::contexts::client;
use crate::expect::same;
use crate::flags::flags;
use crate::scene::SDK_KEY;
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_comparison(suite);
    add_secure_mode(suite);
}

fn add_comparison(suite: &mut Suite) {
    let group = suite.group("1.4 contexts: compare").needs("context-comparison");
    let single = |kind: &str, key: &str| json!({"single": {"kind": kind, "key": key}});
    let with =
        |parts: Value| json!({"single": crate::flags::with(json!({"kind": "user", "key": "a"}), parts)});
    let attributes = |list: Value| with(json!({"attributes": list}));
    let private = |list: Value| with(json!({"privateAttributes": list}));
    let org = json!({"kind": "org", "key": "o"});
    let user = json!({"kind": "user", "key": "u"});
    let cases = [
        ("the same kind and key are equal", single("user", "a"), single("user", "a"), true),
        ("another kind is not equal", single("user", "a"), single("org", "a"), false),
        ("another key is not equal", single("user", "a"), single("user", "b"), false),
        (
            "the same attributes in another order are equal",
            attributes(json!([{"name": "x", "value": 1}, {"name": "y", "value": {"a": 1, "b": [2]}}])),
            attributes(json!([{"name": "y", "value": {"b": [2], "a": 1}}, {"name": "x", "value": 1}])),
            true,
        ),
        (
            "another value is not equal",
            attributes(json!([{"name": "x", "value": 1}])),
            attributes(json!([{"name": "x", "value": 2}])),
            false,
        ),
        (
            "another type is not equal",
            attributes(json!([{"name": "x", "value": 1}])),
            attributes(json!([{"name": "x", "value": true}])),
            false,
        ),
        (
            "lists in another order are not equal",
            attributes(json!([{"name": "x", "value": [1, 2]}])),
            attributes(json!([{"name": "x", "value": [2, 1]}])),
            false,
        ),
        (
            "one attribute more is not equal",
            attributes(json!([{"name": "x", "value": 1}])),
            attributes(json!([{"name": "x", "value": 1}, {"name": "y", "value": 1}])),
            false,
        ),
        (
            "an attribute that is null is none",
            attributes(json!([{"name": "x", "value": null}])),
            attributes(json!([])),
            true,
        ),
        (
            "another name is not equal",
            attributes(json!([{"name": "name", "value": "n"}])),
            attributes(json!([{"name": "name", "value": "m"}])),
            false,
        ),
        (
            "anonymous is not equal to known",
            attributes(json!([{"name": "anonymous", "value": true}])),
            attributes(json!([])),
            false,
        ),
        (
            "explicitly known is equal to known",
            attributes(json!([{"name": "anonymous", "value": false}])),
            attributes(json!([])),
            true,
        ),
        (
            "private attributes in another order are equal",
            private(json!([{"value": "a", "literal": false}, {"value": "b", "literal": false}])),
            private(json!([{"value": "b", "literal": false}, {"value": "a", "literal": false}])),
            true,
        ),
        (
            "a literal and the reference to it are equal",
            private(json!([{"value": "/a", "literal": true}])),
            private(json!([{"value": "/~1a", "literal": false}])),
            true,
        ),
        (
            "a name and the path to it are equal",
            private(json!([{"value": "a", "literal": false}])),
            private(json!([{"value": "/a", "literal": false}])),
            true,
        ),
        (
            "a literal and a path of the same text are not equal",
            private(json!([{"value": "/a", "literal": true}])),
            private(json!([{"value": "/a", "literal": false}])),
            false,
        ),
        (
            "a private attribute more is not equal",
            private(json!([{"value": "a", "literal": false}])),
            private(json!([])),
            false,
        ),
        (
            "members in another order are equal",
            json!({"multi": [org, user]}),
            json!({"multi": [user, org]}),
            true,
        ),
        (
            "another member is not equal",
            json!({"multi": [org, user]}),
            json!({"multi": [org, {"kind": "user", "key": "other"}]}),
            false,
        ),
        (
            "a member more is not equal",
            json!({"multi": [org, user]}),
            json!({"multi": [org, user, {"kind": "device", "key": "d"}]}),
            false,
        ),
        ("one kind is not equal to several", json!({"single": user}), json!({"multi": [org, user]}), false),
        (
            "one kind is equal to several that are one",
            json!({"single": user}),
            json!({"multi": [user]}),
            true,
        ),
    ];
    for (name, one, other, equal) in cases {
        group.test(name, move |scene| {
            let (one, other) = (one.clone(), other.clone());
            async move {
                let (client, _service) = client(&scene).await?;
                for (one, other) in [(&one, &other), (&other, &one)] {
                    let answer = client
                        .command("contextComparison", json!({"context1": one, "context2": other}))
                        .await?;
                    same("the answer", &answer, &json!({"equals": equal}))?;
                }
                Ok(())
            }
        });
    }
}

fn add_secure_mode(suite: &mut Suite) {
    let group = suite.group("6.5 secure mode").needs("secure-mode-hash");
    let other_key = SDK_KEY.replacen("sdk-0", "sdk-1", 1);
    let cases = [
        (
            SDK_KEY,
            json!({"kind": "user", "key": "user-key-123"}),
            "73df666a13f2c474e50aa34ca5a761e89abb737fb139ff65fdde7fa85c9dcacd",
        ),
        (
            &other_key,
            json!({"kind": "user", "key": "user-key-123"}),
            "63538426a9845721a5547b4715f4284b060c21743702a896e1ff8a9a5b57215d",
        ),
        (
            SDK_KEY,
            json!({"kind": "user", "key": "user-key-456"}),
            "55be6b5ceb2a11acc6a7e9c60dbee5022d9c7084baf9ecd8cf69d12bce5a92fb",
        ),
        (
            SDK_KEY,
            json!({"kind": "other", "key": "user-key-123"}),
            "98a933ca26d2951547fc021981ebcdeda95fbca2ac3f767ae67f7042d5458f72",
        ),
    ];
    for (credential, context, hash) in cases {
        let credential = credential.to_owned();
        group.test(format!("{context} with {credential} is {hash}"), move |scene| {
            let (credential, context) = (credential.clone(), context.clone());
            async move {
                let service = scene.streaming(&flags([])).await?;
                let config = json!({"credential": credential, "streaming": {"baseUri": service.url}});
                let client = scene.client(config).await?;
                let answer = client.command("secureModeHash", json!({"context": context})).await?;
                same("the hash", &answer, &json!({"result": hash}))
            }
        });
    }
    // The hash is of the fully-qualified key: equal keys, equal hashes.
    let equal = [
        (
            "attributes have no part in it",
            json!({"kind": "user", "key": "a"}),
            json!({"kind": "user", "key": "a", "name": "b", "x": 1}),
        ),
        (
            "the members of a multi-context are in the order of their kinds",
            json!({"kind": "multi", "user": {"key": "u"}, "org": {"key": "o:1"}}),
            json!({"kind": "multi", "org": {"key": "o:1"}, "user": {"key": "u"}}),
        ),
        (
            "a user's key is not escaped",
            json!({"kind": "user", "key": "org:o%3A1:user:u"}),
            json!({"kind": "multi", "org": {"key": "o:1"}, "user": {"key": "u"}}),
        ),
        (
            "the key of another kind is escaped",
            json!({"kind": "user", "key": "org:a%3Ab%25"}),
            json!({"kind": "org", "key": "a:b%"}),
        ),
    ];
    for (name, one, other) in equal {
        group.test(name, move |scene| {
            let (one, other) = (one.clone(), other.clone());
            async move {
                let (client, _service) = client(&scene).await?;
                let first = client.command("secureModeHash", json!({"context": one})).await?;
                let second = client.command("secureModeHash", json!({"context": other})).await?;
                same("the second hash", &second, &first)
            }
        });
    }
}
