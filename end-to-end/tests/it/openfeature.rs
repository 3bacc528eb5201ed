//! OpenFeature's own provider for Python asks by the remote evaluation protocol: every type, every reason that
//! a demo has, and what is wrong, in OpenFeature's words. Its JavaScript siblings are in `end-to-end/browser`.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::api::FLAG;
use crate::support::relay::Relay;
use crate::support::service::Service;
use crate::support::{binaries, eventually, root};

/// The provider's answers to questions `[type, flag, default, context]`, in their order.
fn ask(service: &Service, key: &str, questions: &[Json]) -> Vec<Json> {
    ask_at(service.url(), key, questions)
}

fn ask_at(url: &str, key: &str, questions: &[Json]) -> Vec<Json> {
    let mut command = Command::new(binaries::python(".venv-openfeature", "make setup-official"));
    command.arg(root().join("end-to-end/openfeature/ask.py")).args(questions.iter().map(Json::to_string));
    let output = command.env("FLAGSTAFF_URL", url).env("FLAGSTAFF_KEY", key).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Json> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{printed}");
    answers
}

const SERVER: &str = "sdk-demo-production";

#[test]
fn openfeatures_provider_for_python_gets_values_of_every_type() {
    let service = Service::start();
    let ann = json!({"targetingKey": "ann"});
    let flags = [
        ("boolean", "a-bool", json!([true, false]), json!(false)),
        ("string", "a-text", json!(["ü \u{1F600} \"'", "other"]), json!("default")),
        ("integer", "a-whole-number", json!([9_007_199_254_740_991_i64, 1]), json!(0)),
        ("float", "a-fraction", json!([0.1, 2.5]), json!(0.5)),
        ("object", "an-object", json!([{"rows": [1, 2.5, null, {"deep": true}]}, {}]), json!({})),
        ("object", "a-list", json!([["a", 1], []]), json!([])),
    ];
    for (_, key, values, _) in &flags {
        service.make_flag(key, values.as_array().unwrap());
    }
    let questions = flags.each_ref().map(|(kind, key, _, default)| json!([kind, key, default, ann]));
    for (answer, (_, key, values, _)) in ask(&service, SERVER, &questions).iter().zip(&flags) {
        assert_eq!(answer["value"], values[0], "{key}");
        let shown = [&answer["reason"], &answer["variant"], &answer["error"]];
        assert_eq!(shown, [&json!("DEFAULT"), &json!("0"), &Json::Null], "{key}");
        let metadata = json!({"reasonKind": "FALLTHROUGH", "contextId": "ann", "variationIndex": 0,
            "flagSetId": "demo-production"});
        assert_eq!(answer["metadata"], metadata, "{key}");
    }
}

#[test]
fn openfeatures_provider_for_python_gets_reasons_and_flips() {
    let service = Service::start();
    let pro = json!({"targetingKey": "maria", "plan": "pro"});
    let organization = json!({"targetingKey": "acme", "kind": "organization"});
    let both = json!({"kind": "multi", "user": {"targetingKey": "nobody"}, "organization": {"key": "acme"}});
    let answers = ask(
        &service,
        SERVER,
        &[
            json!(["boolean", FLAG, true, pro]),
            json!(["string", "shipping-banner", "default", pro]),
            json!(["boolean", "wish-lists", false, {"targetingKey": "ada"}]),
            json!(["boolean", "wish-lists", false, organization]),
            json!(["boolean", "wish-lists", false, both]),
        ],
    );
    let shown =
        |answer: &Json| (answer["value"].clone(), answer["reason"].clone(), answer["metadata"].clone());
    let (value, reason, metadata) = shown(&answers[0]);
    assert_eq!((value, reason, &metadata["reasonKind"]), (json!(false), json!("DISABLED"), &json!("OFF")));
    let (value, reason, metadata) = shown(&answers[1]);
    assert_eq!((value, reason), (json!("next-day"), json!("TARGETING_MATCH")));
    assert_eq!((&metadata["reasonKind"], &metadata["ruleIndex"]), (&json!("RULE_MATCH"), &json!(0)));
    for (answer, context) in
        answers[2..].iter().zip(["ada", "organization:acme", "organization:acme:user:nobody"])
    {
        let (value, reason, metadata) = shown(answer);
        assert_eq!((value, reason), (json!(true), json!("TARGETING_MATCH")), "{context}");
        assert_eq!(metadata["reasonKind"], "TARGET_MATCH", "{context}");
        assert_eq!(metadata["contextId"], context);
    }
    service.turn(true);
    for key in [SERVER, "mob-demo-production", "demo-production"] {
        assert_eq!(ask(&service, key, &[json!(["boolean", FLAG, false, pro])])[0]["value"], true, "{key}");
    }
}

#[test]
fn openfeatures_provider_for_python_says_what_is_wrong() {
    let service = Service::start();
    let ann = json!({"targetingKey": "ann"});
    let checks = [
        (json!(["boolean", "there-is-none", true, ann]), "FLAG_NOT_FOUND"),
        (json!(["boolean", FLAG, true, {}]), "TARGETING_KEY_MISSING"),
        (json!(["boolean", FLAG, true, {"targetingKey": ""}]), "TARGETING_KEY_MISSING"),
        (json!(["boolean", FLAG, true, {"targetingKey": "ann", "kind": "not a kind"}]), "INVALID_CONTEXT"),
        (json!(["string", FLAG, "default", ann]), "TYPE_MISMATCH"),
        (json!(["integer", "shipping-banner", 5, ann]), "TYPE_MISMATCH"),
    ];
    let questions = checks.each_ref().map(|(question, _)| question.clone());
    for (answer, (question, error)) in ask(&service, SERVER, &questions).iter().zip(&checks) {
        assert_eq!((&answer["value"], &answer["reason"]), (&question[2], &json!("ERROR")), "{question}");
        assert_eq!(answer["error"], *error, "{question}");
    }
    let unknown = &ask(&service, "sdk-wrong", &[json!(["boolean", FLAG, true, ann])])[0];
    assert_eq!((&unknown["value"], &unknown["error"]), (&json!(true), &json!("GENERAL")));
}

#[test]
fn openfeatures_provider_for_python_gets_values_through_a_relay() {
    let service = Service::start();
    let relay = Relay::start(service.url());
    let pro = json!({"targetingKey": "maria", "plan": "pro"});
    for on in [false, true] {
        service.turn(on);
        for key in [SERVER, "mob-demo-production", "demo-production"] {
            eventually(Duration::from_secs(30), || {
                let answers = ask_at(
                    relay.url(),
                    key,
                    &[
                        json!(["boolean", FLAG, !on, pro]),
                        json!(["string", "shipping-banner", "default", pro]),
                    ],
                );
                assert_eq!(answers[1]["value"], "next-day", "{answers:?}");
                let value = &answers[0]["value"];
                if *value == on { Ok(()) } else { Err(format!("{key} gets {value} while it is {on}")) }
            });
        }
    }
}
