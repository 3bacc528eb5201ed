//! Section 4.4: what of a context never leaves the program.

use serde_json::{Value, json};

use crate::expect::{ensure, same};
use crate::flags::{flag, flags, user_with, with};
use crate::scene::{A_WHILE, Scene, of_kind, only};
use crate::suite::Suite;

pub(crate) fn add(suite: &mut Suite) {
    add_private(suite);
    add_anonymous(suite);
    add_omitted(suite);
}

/// A context of which everything is set.
fn rich() -> Value {
    user_with(
        "a",
        json!({
            "name": "n", "email": "e", "/odd": 1, "address": {"city": "c", "street": {"line1": "1", "line2": "2"}},
            "list": [{"city": "x"}], "anonymous": true,
        }),
    )
}

fn add_private(suite: &mut Suite) {
    let group = suite.group("4.4 events: private attributes");
    let all_but = |left_out: &[&str], redacted: &[&str]| {
        let mut context = rich();
        context.as_object_mut().into_iter().for_each(|map| {
            left_out.iter().for_each(|name| {
                map.remove(*name);
            });
        });
        with(context, json!({"_meta": {"redactedAttributes": redacted}}))
    };
    let without = |pointer: &str, name: &str, redacted: &str| {
        let mut context = rich();
        if let Some(Value::Object(map)) = context.pointer_mut(pointer) {
            map.remove(name);
        }
        with(context, json!({"_meta": {"redactedAttributes": [redacted]}}))
    };
    let everything = json!({"kind": "user", "key": "a", "anonymous": true, "_meta": {
        "redactedAttributes": ["name", "email", "/~1odd", "address", "list"]}});
    let globally = |list: Value| json!({"globalPrivateAttributes": list});
    let cases: Vec<(&str, Value, Value, Value)> = vec![
        ("without private attributes all is sent", json!({}), rich(), rich()),
        ("all attributes private", json!({"allAttributesPrivate": true}), rich(), everything.clone()),
        ("a name", globally(json!(["email"])), rich(), all_but(&["email"], &["email"])),
        (
            "several names",
            globally(json!(["email", "name"])),
            rich(),
            all_but(&["email", "name"], &["email", "name"]),
        ),
        ("a path of one component", globally(json!(["/email"])), rich(), all_but(&["email"], &["email"])),
        ("an escaped name", globally(json!(["/~1odd"])), rich(), all_but(&["/odd"], &["/~1odd"])),
        ("a path", globally(json!(["/address/city"])), rich(), without("/address", "city", "/address/city")),
        (
            "a deeper path",
            globally(json!(["/address/street/line1"])),
            rich(),
            without("/address/street", "line1", "/address/street/line1"),
        ),
        ("a path into a list finds nothing", globally(json!(["/list/0", "/list/city"])), rich(), rich()),
        ("a path to nothing is not listed", globally(json!(["/address/country", "nope"])), rich(), rich()),
        (
            "key, kind, anonymous and _meta cannot be private",
            globally(json!(["key", "kind", "anonymous", "_meta"])),
            rich(),
            rich(),
        ),
        (
            "an impossible reference is ignored",
            globally(json!(["", "/", "//", "/address/~x", "email"])),
            rich(),
            all_but(&["email"], &["email"]),
        ),
        (
            "of an object all of whose members are private, the object stays",
            globally(json!(["/address/city", "/address/street"])),
            rich(),
            with(all_but(&[], &["/address/city", "/address/street"]), json!({"address": {}})),
        ),
        (
            "the context's own",
            json!({}),
            with(rich(), json!({"_meta": {"privateAttributes": ["email", "/address/city"]}})),
            with(
                with(
                    rich(),
                    json!({"address": {"street": {"line1": "1", "line2": "2"}},
                                    "_meta": {"redactedAttributes": ["email", "/address/city"]}}),
                ),
                json!({"email": null}),
            ),
        ),
        (
            "the context's own and those of the configuration",
            globally(json!(["name"])),
            with(rich(), json!({"_meta": {"privateAttributes": ["email"]}})),
            all_but(&["email", "name"], &["email", "name"]),
        ),
    ];
    for (name, events, context, want) in cases {
        for kind in ["identify", "index", "debug", "feature", "custom"] {
            // In feature and custom events an anonymous context has nothing anyway.
            let plain = |mut context: Value| {
                if matches!(kind, "feature" | "custom") {
                    context.as_object_mut().into_iter().for_each(|map| {
                        map.remove("anonymous");
                    });
                }
                context
            };
            let (events, context, want) = (events.clone(), plain(context.clone()), plain(want.clone()));
            group.test(format!("{kind}: {name}"), move |scene| {
                let (events, context, want) = (events.clone(), context.clone(), want.clone());
                async move {
                    let Some(got) = reported(&scene, kind, events, &context).await? else { return Ok(()) };
                    same("the context", &sorted(got), &sorted(want))
                }
            });
        }
    }
    group.test("the attributes of one member are not private in another", |scene| async move {
        let both = json!({"kind": "multi",
            "user": {"key": "u", "name": "n", "x": 1, "_meta": {"privateAttributes": ["x"]}},
            "org": {"key": "o", "name": "n", "x": 1, "_meta": {"privateAttributes": ["name"]}}});
        let want = json!({"kind": "multi",
            "user": {"key": "u", "name": "n", "_meta": {"redactedAttributes": ["x"]}},
            "org": {"key": "o", "x": 1, "_meta": {"redactedAttributes": ["name"]}}});
        let got = reported(&scene, "identify", json!({}), &both).await?.unwrap_or_default();
        same("the context", &got, &want)
    });
    group.test("private attributes are still used to evaluate", |scene| async move {
        let f = flag("f", 1, json!({
            "on": true, "variations": ["no", "yes"], "fallthrough": {"variation": 0},
            "rules": [{"id": "r", "variation": 1, "clauses": [
                {"contextKind": "user", "attribute": "email", "op": "in", "values": ["e"], "negate": false}]}],
        }));
        let (client, _sink, _service) =
            scene.reporting_client(&flags([f]), json!({"allAttributesPrivate": true})).await?;
        same("the value", &client.value_for("f", &rich(), "d").await?, &json!("yes"))
    });
}

/// The context as an event of this kind shows it; none if the SDK does not inline contexts there.
async fn reported(
    scene: &Scene,
    kind: &str,
    events: Value,
    context: &Value,
) -> Result<Option<Value>, String> {
    let far_off = 4_000_000_000_000_u64;
    let f = flag(
        "f",
        1,
        json!({
            "on": true, "variations": ["a"], "fallthrough": {"variation": 0}, "trackEvents": true,
            "debugEventsUntilDate": far_off,
        }),
    );
    let (client, sink, _service) = scene.reporting_client(&flags([f]), events).await?;
    match kind {
        "identify" => client.identify(context).await?,
        "custom" => {
            client.command("customEvent", json!({"eventKey": "k", "context": context})).await?;
        }
        _ => {
            client.value_for("f", context, "d").await?;
        }
    }
    let event = only(&client.flushed(&sink).await?, kind)?;
    let inline = match kind {
        "feature" => scene.can("inline-context") || scene.can("inline-context-all"),
        "custom" => scene.can("inline-context-all"),
        _ => true,
    };
    Ok(inline.then(|| event["context"].clone()))
}

/// With redacted attributes in order, and a leading slash of a plain name dropped: both are right.
fn sorted(mut context: Value) -> Value {
    if let Some(list) = context.pointer_mut("/_meta/redactedAttributes").and_then(Value::as_array_mut) {
        for reference in list.iter_mut() {
            let text = reference.as_str().unwrap_or_default();
            if let Some(plain) = text.strip_prefix('/').filter(|rest| !rest.contains(['/', '~'])) {
                *reference = json!(plain);
            }
        }
        list.sort_by_key(Value::to_string);
    }
    context
}

fn add_anonymous(suite: &mut Suite) {
    let group = suite.group("4.4 events: anonymous contexts are redacted").needs("anonymous-redaction");
    let bare = json!({"kind": "user", "key": "a", "anonymous": true, "_meta": {
        "redactedAttributes": ["name", "email", "/~1odd", "address", "list"]}});
    for (kind, redacted) in
        [("feature", true), ("custom", true), ("index", false), ("identify", false), ("debug", false)]
    {
        let want = if redacted { bare.clone() } else { rich() };
        let name = if redacted { "everything is redacted" } else { "nothing is redacted" };
        group.test(format!("{kind}: {name}"), move |scene| {
            let want = want.clone();
            async move {
                let Some(got) = reported(&scene, kind, json!({}), &rich()).await? else { return Ok(()) };
                same("the context", &sorted(got), &sorted(want))
            }
        });
    }
    group.test("feature: of several members only the anonymous ones are redacted", |scene| async move {
        let both = json!({"kind": "multi", "user": {"key": "u", "anonymous": true, "x": 1},
                          "org": {"key": "o", "x": 1}});
        let want = json!({"kind": "multi",
            "user": {"key": "u", "anonymous": true, "_meta": {"redactedAttributes": ["x"]}},
            "org": {"key": "o", "x": 1}});
        let Some(got) = reported(&scene, "feature", json!({}), &both).await? else { return Ok(()) };
        same("the context", &got, &want)
    });
}

fn add_omitted(suite: &mut Suite) {
    let group = suite.group("4.4 events: anonymous contexts are omitted").needs("omit-anonymous-contexts");
    let omit = || json!({"omitAnonymousContexts": true});
    let member = |anonymous: bool| json!({"key": "u", "anonymous": anonymous});
    group
        .test("an anonymous context is neither identified nor indexed", move |scene| async move {
            let all = flags([flag("f", 1, json!({"variations": ["a"], "offVariation": 0}))]);
            let (client, sink, _service) = scene.reporting_client(&all, omit()).await?;
            client.identify(&rich()).await?;
            client.flush().await?;
            sink.nothing_within(A_WHILE).await?;
            client.value_for("f", &rich(), "d").await?;
            let events = client.flushed(&sink).await?;
            ensure(of_kind(&events, "index").is_empty(), || Value::from(events.clone()).to_string())?;
            only(&events, "summary").map(|_| ())
        })
        .test("a context that is not anonymous is", move |scene| async move {
            let got = reported(&scene, "identify", omit(), &json!({"kind": "user", "key": "u"})).await?;
            same("the context", &got.unwrap_or_default(), &json!({"kind": "user", "key": "u"}))
        })
        .test("anonymous contexts are told unless it is set", move |scene| async move {
            let got = reported(&scene, "identify", json!({}), &rich()).await?;
            same("the context", &got.unwrap_or_default(), &rich())
        });
    for kind in ["identify", "index"] {
        group.test(format!("{kind}: of several members the others stay"), move |scene| async move {
            let three =
                json!({"kind": "multi", "user": member(true), "org": {"key": "o"}, "device": {"key": "d"}});
            let got = reported(&scene, kind, omit(), &three).await?.unwrap_or_default();
            same("the context", &got, &json!({"kind": "multi", "org": {"key": "o"}, "device": {"key": "d"}}))
        });
        group.test(format!("{kind}: a single one that stays is no longer multi"), move |scene| async move {
            let two = json!({"kind": "multi", "user": member(true), "org": {"key": "o", "x": 1}});
            let got = reported(&scene, kind, omit(), &two).await?.unwrap_or_default();
            same("the context", &got, &json!({"kind": "org", "key": "o", "x": 1}))
        });
    }
    group.test("what stays counts as seen under its own key", |scene| async move {
        let all = flags([flag("f", 1, json!({"variations": ["a"], "offVariation": 0}))]);
        let (client, sink, _service) =
            scene.reporting_client(&all, json!({"omitAnonymousContexts": true})).await?;
        let org = json!({"kind": "org", "key": "o"});
        client
            .value_for(
                "f",
                &json!({"kind": "multi", "user": {"key": "u", "anonymous": true}, "org": {"key": "o"}}),
                "d",
            )
            .await?;
        client.value_for("f", &org, "d").await?;
        let events = client.flushed(&sink).await?;
        same("the context", &only(&events, "index")?["context"], &org)
    });
}
