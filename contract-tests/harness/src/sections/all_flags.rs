//! Section 6.6: every flag for one context, as a page is started with.

use serde_json::{Value, json};

use crate::expect::{ensure, same};
use crate::flags::{flag, flags, user};
use crate::mock::Answer;
use crate::scene::SOON;
use crate::suite::{Group, Suite};

const LONG_AGO: u64 = 1_000_000_000_000;
const FAR_OFF: u64 = 4_000_000_000_000;

pub(crate) fn add(suite: &mut Suite) {
    add_plain(suite.group("6.6 all flags"));
    add_reasons(suite.group("6.6 all flags: with reasons").needs("all-flags-with-reasons"));
    add_client_side(suite.group("6.6 all flags: client-side only").needs("all-flags-client-side-only"));
    add_details(
        suite
            .group("6.6 all flags: details only for tracked flags")
            .needs("all-flags-details-only-for-tracked-flags"),
    );
    add_prerequisites(suite.group("6.6 all flags: prerequisites").needs("client-prereq-events"));
}

/// A flag that is on, serves its key, and has these properties besides.
fn on(key: &str, properties: Value) -> Value {
    let base =
        json!({"on": true, "variations": [key, "off"], "fallthrough": {"variation": 0}, "offVariation": 1});
    flag(key, 3, crate::flags::with(base, properties))
}

/// Flags, options, and what all flags are then.
fn check(group: &mut Group, name: &str, all: Vec<Value>, options: Value, want: Value) {
    group.test(name, move |scene| {
        let (all, options, want) = (flags(all.clone()), options.clone(), want.clone());
        async move {
            let (client, _service) = scene.streaming_client(&all).await?;
            let got = client.all_flags(&user(), options).await?;
            same("all flags", &got, &want)?;
            // What is to be left out is not written as null or false either.
            for (key, about) in want["$flagsState"].as_object().into_iter().flatten() {
                let names = |about: &Value| -> Vec<String> {
                    let mut names: Vec<String> =
                        about.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
                    names.sort();
                    names
                };
                let (got, want) = (names(&got["$flagsState"][key]), names(about));
                ensure(got == want, || format!("`{key}` says {got:?}, not {want:?}"))?;
            }
            Ok(())
        }
    });
}

fn add_plain(group: &mut Group) {
    check(group, "no flags", vec![], json!({}), json!({"$flagsState": {}, "$valid": true}));
    check(
        group,
        "values, variations and versions",
        vec![on("a", json!({})), on("b", json!({"on": false}))],
        json!({}),
        json!({"a": "a", "b": "off", "$valid": true,
               "$flagsState": {"a": {"variation": 0, "version": 3}, "b": {"variation": 1, "version": 3}}}),
    );
    check(
        group,
        "a flag without a variation is null",
        vec![on("a", json!({"on": false, "offVariation": null}))],
        json!({}),
        json!({"a": null, "$valid": true, "$flagsState": {"a": {"version": 3}}}),
    );
    check(
        group,
        "a malformed flag is null",
        vec![on("a", json!({"fallthrough": {"variation": 9}})), on("b", json!({}))],
        json!({}),
        json!({"a": null, "b": "b", "$valid": true,
               "$flagsState": {"a": {"version": 3}, "b": {"version": 3, "variation": 0}}}),
    );
    check(
        group,
        "tracking and debugging are told",
        vec![
            on("tracked", json!({"trackEvents": true})),
            on("debugged", json!({"debugEventsUntilDate": FAR_OFF})),
            on("once debugged", json!({"debugEventsUntilDate": LONG_AGO})),
        ],
        json!({}),
        json!({"tracked": "tracked", "debugged": "debugged", "once debugged": "once debugged", "$valid": true,
               "$flagsState": {
                   "tracked": {"variation": 0, "version": 3, "trackEvents": true},
                   "debugged": {"variation": 0, "version": 3, "debugEventsUntilDate": FAR_OFF},
                   "once debugged": {"variation": 0, "version": 3, "debugEventsUntilDate": LONG_AGO}}}),
    );
    check(
        group,
        "an experiment is tracked and says why, also where reasons are not asked for",
        vec![
            on("fallthrough", json!({"trackEventsFallthrough": true})),
            on("rule", json!({"rules": [{"id": "r", "variation": 0, "trackEvents": true, "clauses": []}]})),
            on(
                "experiment",
                json!({"fallthrough": {"rollout": {
                "kind": "experiment", "contextKind": "user", "variations": [{"variation": 0, "weight": 100_000}]}}}),
            ),
        ],
        json!({}),
        json!({"fallthrough": "fallthrough", "rule": "rule", "experiment": "experiment", "$valid": true,
               "$flagsState": {
                   "fallthrough": {"variation": 0, "version": 3, "trackEvents": true, "trackReason": true,
                                   "reason": {"kind": "FALLTHROUGH"}},
                   "rule": {"variation": 0, "version": 3, "trackEvents": true, "trackReason": true,
                            "reason": {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}},
                   "experiment": {"variation": 0, "version": 3, "trackEvents": true, "trackReason": true,
                                  "reason": {"kind": "FALLTHROUGH", "inExperiment": true}}}}),
    );
    group
        .test("a deleted flag is not there", |scene| async move {
            let (client, service) = scene.streaming_client(&flags([on("a", json!({}))])).await?;
            service.stream(0, SOON).await?.send(crate::flags::delete("/flags/a", 9));
            client.soon_has_value("a", "default").await?;
            let got = client.all_flags(&user(), json!({})).await?;
            same("all flags", &got, &json!({"$flagsState": {}, "$valid": true}))
        })
        .test("a client without flags says that they are not valid", |scene| async move {
            let service = scene.endpoint("stream", Answer::events(Vec::<String>::new())).await?;
            let config =
                json!({"streaming": {"baseUri": service.url}, "startWaitTimeMs": 100, "initCanFail": true});
            let client = scene.client(config).await?;
            let got = client.all_flags(&user(), json!({})).await?;
            same("all flags", &got, &json!({"$flagsState": {}, "$valid": false}))
        })
        .test("an impossible context gets none", |scene| async move {
            let (client, _service) = scene.streaming_client(&flags([on("a", json!({}))])).await?;
            let got = client.all_flags(&json!({"kind": "user", "key": ""}), json!({})).await?;
            same("all flags", &got, &json!({"$flagsState": {}, "$valid": false}))
        })
        .test("nothing is reported of it", |scene| async move {
            let all = flags([on("a", json!({"trackEvents": true}))]);
            let (client, sink, _service) = scene.reporting_client(&all, json!({})).await?;
            client.all_flags(&user(), json!({})).await?;
            client.flush().await?;
            sink.nothing_within(crate::scene::A_WHILE).await
        });
}

fn add_reasons(group: &mut Group) {
    check(
        group,
        "every flag says why",
        vec![
            on("a", json!({})),
            on("b", json!({"on": false})),
            on("c", json!({"targets": [{"variation": 1, "values": ["user-key"]}]})),
            on("d", json!({"rules": [{"id": "r", "variation": 0, "clauses": []}]})),
            on("e", json!({"fallthrough": {}})),
        ],
        json!({"withReasons": true}),
        json!({"a": "a", "b": "off", "c": "off", "d": "d", "e": null, "$valid": true, "$flagsState": {
            "a": {"variation": 0, "version": 3, "reason": {"kind": "FALLTHROUGH"}},
            "b": {"variation": 1, "version": 3, "reason": {"kind": "OFF"}},
            "c": {"variation": 1, "version": 3, "reason": {"kind": "TARGET_MATCH"}},
            "d": {"variation": 0, "version": 3, "reason": {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}},
            "e": {"version": 3, "reason": {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}}}}),
    );
}

fn add_client_side(group: &mut Group) {
    let available = |id: bool, mobile: bool| json!({"clientSideAvailability": {"usingEnvironmentId": id, "usingMobileKey": mobile}});
    check(
        group,
        "only those that browsers may see",
        vec![
            on("neither", available(false, false)),
            on("mobile", available(false, true)),
            on("browser", available(true, false)),
            on("both", available(true, true)),
            on("unsaid", json!({})),
        ],
        json!({"clientSideOnly": true}),
        json!({"browser": "browser", "both": "both", "$valid": true, "$flagsState": {
            "browser": {"variation": 0, "version": 3}, "both": {"variation": 0, "version": 3}}}),
    );
    let mut old = on("old", json!({"clientSide": true}));
    old.as_object_mut().into_iter().for_each(|flag| {
        flag.remove("clientSideAvailability");
    });
    check(
        group,
        "the older form is understood",
        vec![old, on("other", json!({}))],
        json!({"clientSideOnly": true}),
        json!({"old": "old", "$valid": true, "$flagsState": {"old": {"variation": 0, "version": 3}}}),
    );
}

fn add_details(group: &mut Group) {
    check(
        group,
        "versions and reasons are left out elsewhere",
        vec![
            on("plain", json!({})),
            on("tracked", json!({"trackEvents": true})),
            on("debugged", json!({"debugEventsUntilDate": FAR_OFF})),
            on("once debugged", json!({"debugEventsUntilDate": LONG_AGO})),
            on("experiment", json!({"trackEventsFallthrough": true})),
        ],
        json!({"withReasons": true, "detailsOnlyForTrackedFlags": true}),
        json!({"plain": "plain", "tracked": "tracked", "debugged": "debugged", "once debugged": "once debugged",
               "experiment": "experiment", "$valid": true, "$flagsState": {
            "plain": {"variation": 0},
            "tracked": {"variation": 0, "version": 3, "trackEvents": true, "reason": {"kind": "FALLTHROUGH"}},
            "debugged": {"variation": 0, "version": 3, "debugEventsUntilDate": FAR_OFF,
                         "reason": {"kind": "FALLTHROUGH"}},
            "once debugged": {"variation": 0, "debugEventsUntilDate": LONG_AGO},
            "experiment": {"variation": 0, "version": 3, "trackEvents": true, "trackReason": true,
                           "reason": {"kind": "FALLTHROUGH"}}}}),
    );
}

fn add_prerequisites(group: &mut Group) {
    let needs = |key: &str, others: &[(&str, usize)], more: Value| {
        let list: Vec<Value> =
            others.iter().map(|(key, variation)| json!({"key": key, "variation": variation})).collect();
        on(key, crate::flags::with(json!({"prerequisites": list}), more))
    };
    check(
        group,
        "those that were evaluated are named, direct ones only",
        vec![
            needs("a", &[("b", 0), ("c", 0)], json!({})),
            needs("b", &[("c", 0)], json!({})),
            on("c", json!({})),
        ],
        json!({}),
        json!({"a": "a", "b": "b", "c": "c", "$valid": true, "$flagsState": {
            "a": {"variation": 0, "version": 3, "prerequisites": ["b", "c"]},
            "b": {"variation": 0, "version": 3, "prerequisites": ["c"]},
            "c": {"variation": 0, "version": 3}}}),
    );
    check(
        group,
        "those after the first that failed are not named",
        vec![needs("a", &[("b", 1), ("c", 0)], json!({})), on("b", json!({})), on("c", json!({}))],
        json!({}),
        json!({"a": "off", "b": "b", "c": "c", "$valid": true, "$flagsState": {
            "a": {"variation": 1, "version": 3, "prerequisites": ["b"]},
            "b": {"variation": 0, "version": 3}, "c": {"variation": 0, "version": 3}}}),
    );
    check(
        group,
        "an off flag names none",
        vec![needs("a", &[("b", 0)], json!({"on": false})), on("b", json!({}))],
        json!({}),
        json!({"a": "off", "b": "b", "$valid": true, "$flagsState": {
            "a": {"variation": 1, "version": 3}, "b": {"variation": 0, "version": 3}}}),
    );
    let visible = json!({"clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false}});
    check(
        group,
        "they are named also where browsers may not see them",
        vec![needs("a", &[("b", 0)], visible), on("b", json!({}))],
        json!({"clientSideOnly": true}),
        json!({"a": "a", "$valid": true, "$flagsState": {
            "a": {"variation": 0, "version": 3, "prerequisites": ["b"]}}}),
    );
}
