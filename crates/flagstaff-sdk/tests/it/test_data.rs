//! Flags that a test sets as it goes.

use std::sync::mpsc::channel;

use flagstaff_sdk::model::Operator;
use flagstaff_sdk::{Client, Config, Context, DataSourceErrorKind, DataSourceState, FlagBuilder, TestData};
use flagstaff_testkit::{PATIENCE, eventually, user};
use serde_json::{Value, json};

use crate::support::{KEY, started};

fn client_of(flags: &TestData) -> Client {
    started(Config::new(KEY).data_source(flags.clone()).send_events(false))
}

fn value(client: &Client, key: &str, context: &Context) -> Value {
    client.variation(key, context, json!("default"))
}

/// What the flag that `build` makes of a new one serves to each of these.
fn check(build: impl FnOnce(FlagBuilder) -> FlagBuilder, expected: &[(Context, Value)]) {
    let flags = TestData::new();
    flags.update(build(flags.flag("f")));
    let client = client_of(&flags);
    for (context, value) in expected {
        assert_eq!(&self::value(&client, "f", context), value, "{context}");
    }
}

fn with(kind: &str, key: &str, attribute: &str, value: impl Into<Value>) -> Context {
    Context::builder(key).kind(kind).set(attribute, value.into()).build().unwrap()
}

fn org(key: &str) -> Context {
    Context::builder(key).kind("org").build().unwrap()
}

#[test]
fn a_new_flag_is_on_and_serves_true_and_false_when_it_is_off() {
    check(|flag| flag, &[(user("u"), json!(true))]);
    check(|flag| flag.on(false), &[(user("u"), json!(false))]);
    check(|flag| flag.fallthrough_variation(false), &[(user("u"), json!(false))]);
    check(|flag| flag.on(false).off_variation(true), &[(user("u"), json!(true))]);
}

#[test]
fn variations_may_be_anything() {
    let three = |flag: FlagBuilder| flag.variations(["a", "b", "c"]);
    check(|flag| three(flag).fallthrough_variation(2), &[(user("u"), json!("c"))]);
    check(|flag| three(flag).off_variation(1).on(false), &[(user("u"), json!("b"))]);
    check(|flag| three(flag).fallthrough_variation(9), &[(user("u"), json!("default"))]);
    check(|flag| three(flag).boolean_flag(), &[(user("u"), json!(true))]);
    check(|flag| three(flag).fallthrough_variation(false), &[(user("u"), json!(false))]);
    check(|flag| flag.value_for_all(json!({"rows": 20})), &[(user("u"), json!({"rows": 20}))]);
    check(
        |flag| flag.on(false).variation_for_user("u", true).variation_for_all(false),
        &[(user("u"), json!(false)), (user("v"), json!(false))],
    );
}

#[test]
fn targets_get_the_variation_that_was_said_last() {
    check(
        |flag| {
            flag.variations(["none", "a", "b"])
                .fallthrough_variation(0)
                .variation_for_user("u", 1)
                .variation_for_user("v", 1)
                .variation_for_user("u", 2)
                .variation_for_key("org", "u", 1)
        },
        &[
            (user("u"), json!("b")),
            (user("v"), json!("a")),
            (user("w"), json!("none")),
            (org("u"), json!("a")),
            (org("v"), json!("none")),
        ],
    );
    check(
        |flag| flag.fallthrough_variation(false).variation_for_user("u", true).clear_targets(),
        &[(user("u"), json!(false))],
    );
}

#[test]
fn rules_match_when_all_clauses_do_and_the_first_one_counts() {
    let named = |name: &str| with("user", "u", "name", name);
    check(
        |flag| {
            flag.fallthrough_variation(false)
                .if_match("name", ["Lucy", "Mina"])
                .and_not_match("country", ["gb"])
                .then_return(true)
        },
        &[
            (Context::builder("u").set("name", "Lucy").set("country", "no").build().unwrap(), json!(true)),
            (Context::builder("u").set("name", "Lucy").set("country", "gb").build().unwrap(), json!(false)),
            (named("Lucy"), json!(false)),
            (named("Quincey"), json!(false)),
        ],
    );
    check(
        |flag| {
            let flag = flag.variations(["none", "first", "second"]).fallthrough_variation(0);
            let flag = flag.if_match_context("org", "tier", ["gold"]).then_return(1);
            flag.if_not_match_context("org", "tier", ["silver"])
                .and_match_context("org", "key", ["o"])
                .then_return(2)
        },
        &[
            (with("org", "o", "tier", "gold"), json!("first")),
            (with("org", "o", "tier", "iron"), json!("second")),
            (with("org", "p", "tier", "iron"), json!("none")),
            (with("org", "o", "tier", "silver"), json!("none")),
            (with("user", "o", "tier", "gold"), json!("none")),
        ],
    );
    check(
        |flag| {
            let flag = flag.fallthrough_variation(false);
            flag.if_clause("user", "email", Operator::EndsWith, ["@example.com"])
                .and_clause("user", "age", Operator::GreaterThan, [17])
                .then_return(true)
        },
        &[(Context::builder("u").set("email", "u@example.com").set("age", 18).build().unwrap(), json!(true))],
    );
    check(
        |flag| flag.fallthrough_variation(false).if_match("name", ["Lucy"]).then_return(true).clear_rules(),
        &[(named("Lucy"), json!(false))],
    );
}

#[test]
fn a_flag_is_built_on_from_where_it_was() {
    let flags = TestData::new();
    flags.update(flags.flag("f").variation_for_user("u", false));
    let client = client_of(&flags);
    let built = flags.flag("f").on(false);
    assert_eq!(value(&client, "f", &user("v")), true, "a builder alone changes nothing");
    flags.update(built.clone());
    assert_eq!(value(&client, "f", &user("v")), false);
    assert_eq!(flags.flag("f"), built);
    flags.update(flags.flag("f").on(true));
    assert_eq!(value(&client, "f", &user("u")), false);
    assert_eq!(value(&client, "f", &user("v")), true);
    assert_eq!(client.data_set().flag("f").map(|flag| flag.version()), Some(3));
}

#[test]
fn many_clients_see_a_change_when_the_call_returns() {
    let flags = TestData::new();
    let clients: Vec<Client> = (0..3).map(|_| client_of(&flags)).collect();
    let (sender, heard) = channel();
    clients[0].flag_tracker().add_listener(move |change| sender.send(change.key.clone()).unwrap());
    let all = |expected: Value| {
        for client in &clients {
            assert_eq!(value(client, "f", &user("u")), expected);
        }
    };
    all(json!("default"));
    flags.update(flags.flag("f").value_for_all("one"));
    all(json!("one"));
    flags.update(flags.flag("f").value_for_all("two")).update(flags.flag("g"));
    all(json!("two"));
    flags.delete("f");
    all(json!("default"));
    assert_eq!(flags.flag("f"), TestData::new().flag("f"), "it is forgotten");
    flags.update(flags.flag("f").value_for_all("back"));
    all(json!("back"));
    let keys: Vec<String> = (0..5).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(keys, ["f", "f", "g", "f", "f"]);
    let late = client_of(&flags);
    assert_eq!(value(&late, "f", &user("u")), "back");

    // One that is closed hears no more, and the others do.
    clients[1].close();
    flags.update(flags.flag("f").value_for_all("last"));
    assert_eq!(value(&clients[2], "f", &user("u")), "last");
    assert!(clients[1].data_set().flag("f").is_some_and(|flag| flag.version() == 4));
}

#[test]
fn changes_from_many_threads_while_clients_start_are_all_there() {
    let flags = TestData::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let flags = &flags;
            scope.spawn(move || {
                for number in 0..25 {
                    flags.update(flags.flag(&format!("f-{thread}")).value_for_all(number));
                    flags.update(flags.flag("shared").value_for_all(number));
                }
            });
        }
        for _ in 0..4 {
            let client = client_of(&flags);
            let seen = client.data_set().flag("shared").map_or(0, |flag| flag.version());
            eventually("it saw what came later", || {
                let now = client.data_set().flag("shared").map_or(0, |flag| flag.version());
                assert!(now >= seen, "a version never falls");
                (now == 100).then_some(())
            });
            for thread in 0..4 {
                let key = format!("f-{thread}");
                eventually("it saw the rest", || (value(&client, &key, &user("u")) == 24).then_some(()));
            }
        }
    });
}

#[test]
fn what_the_builder_cannot_make_is_given_whole() {
    let flags = TestData::new();
    let client = client_of(&flags);
    let rule =
        json!([{"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    let flag = json!({"key": "f", "version": 10, "on": true, "variations": ["out", "in"], "rules": rule,
        "fallthrough": {"variation": 0}});
    flags.use_preconfigured_flag(serde_json::from_value(flag.clone()).unwrap());
    assert_eq!(value(&client, "f", &user("u")), "out");
    let segment = json!({"key": "s", "included": ["u"]});
    flags.use_preconfigured_segment(serde_json::from_value(segment).unwrap());
    assert_eq!(value(&client, "f", &user("u")), "in");
    flags.use_preconfigured_flag(serde_json::from_value(flag).unwrap());
    assert_eq!(client.data_set().flag("f").map(|flag| flag.version()), Some(11));
    flags.delete_segment("s");
    assert_eq!(value(&client, "f", &user("u")), "out");
}

#[test]
fn a_test_can_say_that_something_is_wrong() {
    let flags = TestData::new();
    let client = client_of(&flags);
    flags.update_status(Some((DataSourceErrorKind::NetworkError, "on purpose")));
    let status = client.data_source_status();
    assert_eq!(status.state, DataSourceState::Interrupted);
    assert_eq!(status.last_error.unwrap().message, "on purpose");
    flags.update_status(None);
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn a_flag_and_a_segment_may_have_the_highest_version_there_is() {
    let flags = TestData::new();
    for _ in 0..2 {
        let last = json!({"key": "f", "version": u64::MAX, "variations": ["last"], "offVariation": 0});
        flags.use_preconfigured_flag(serde_json::from_value(last).unwrap());
        let last = json!({"key": "s", "version": u64::MAX});
        flags.use_preconfigured_segment(serde_json::from_value(last).unwrap());
    }
    assert_eq!(value(&client_of(&flags), "f", &user("u")), "last");
}

#[cfg(unix)]
#[test]
fn parent_and_child_each_have_flags_of_their_own() {
    if !crate::fork::runs_alone() {
        return;
    }
    let flags = TestData::new();
    flags.update(flags.flag("f").value_for_all("both"));
    let client = client_of(&flags);
    let status = crate::fork::in_child(|| {
        flags.update(flags.flag("f").value_for_all("child"));
        let first = value(&client, "f", &user("u")) == "child";
        // By now, or soon, the client has started anew.
        std::thread::sleep(std::time::Duration::from_millis(50));
        flags.update(flags.flag("f").value_for_all("again"));
        let second = value(&client, "f", &user("u")) == "again";
        client.close();
        first && second
    });
    assert_eq!(status, 0);
    assert_eq!(value(&client, "f", &user("u")), "both");
    flags.update(flags.flag("f").value_for_all("parent"));
    assert_eq!(value(&client, "f", &user("u")), "parent");
}
