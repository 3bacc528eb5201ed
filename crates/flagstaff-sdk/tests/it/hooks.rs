//! Hooks: their order, what they are told, what they hand on, and what happens when they fail.

use std::sync::{Arc, Mutex};

use flagstaff_sdk::{
    AllFlagsOptions, Client, Config, Context, ErrorKind, EvaluationSeriesContext, Hook, HookResult,
    ReasonKind, SeriesData, TrackSeriesContext, Value, VariationDetail,
};
use flagstaff_testkit::{Answer, FakeService, eventually, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, service_and_client, started};

/// What stages were told, in the order in which they ran.
type Told = Arc<Mutex<Vec<Value>>>;

/// Takes down what it is told, and fails where it is told to.
struct Recorder {
    name: &'static str,
    told: Told,
    fails: fn(&str) -> HookResult<()>,
}

impl Recorder {
    fn new(name: &'static str, told: &Told) -> Arc<Self> {
        Self::failing(name, told, |_| Ok(()))
    }

    fn failing(name: &'static str, told: &Told, fails: fn(&str) -> HookResult<()>) -> Arc<Self> {
        Arc::new(Self { name, told: told.clone(), fails })
    }

    fn takes_down(&self, stage: &str, what: Value) -> HookResult<()> {
        self.told.lock().unwrap().push(json!({"hook": self.name, "stage": stage, "what": what}));
        (self.fails)(stage)
    }
}

impl Hook for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        assert!(data.is_empty());
        let what = json!({
            "flagKey": series.flag_key(),
            "context": series.context(),
            "contextKey": series.context_key(),
            "default": series.default_value(),
            "method": series.method(),
            "environmentId": series.environment_id(),
        });
        self.takes_down("before", what)?;
        Ok(data.with("from", self.name.to_owned()).with("count", 1_u8))
    }

    fn after_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        detail: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        let what = json!({
            "flagKey": series.flag_key(),
            "method": series.method(),
            "value": detail.value,
            "index": detail.variation_index,
            "reason": detail.reason.kind.as_str(),
            "from": data.get::<String>("from"),
            "names": data.names().collect::<Vec<_>>(),
        });
        self.takes_down("after", what)?;
        Ok(data)
    }

    fn after_track(&self, series: &TrackSeriesContext<'_>) -> HookResult<()> {
        let what = json!({
            "key": series.key,
            "context": series.context,
            "data": series.data,
            "metric": series.metric_value,
            "environmentId": series.environment_id,
        });
        self.takes_down("track", what)
    }
}

fn taken(told: &Told) -> Vec<Value> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// Which hooks ran at which stages, `a before`.
fn stages(told: &[Value]) -> Vec<String> {
    let word = |told: &Value, name: &str| told[name].as_str().unwrap().to_owned();
    told.iter().map(|told| format!("{} {}", word(told, "hook"), word(told, "stage"))).collect()
}

/// A client of this service with these hooks.
fn hooked(service: &FakeService, hooks: impl IntoIterator<Item = Arc<Recorder>>) -> Client {
    started(hooks.into_iter().fold(config(service), |config, hook| config.hook(hook)))
}

#[test]
fn hooks_run_in_order_before_and_the_other_way_round_after() {
    let told = Told::default();
    let service = FakeService::start([flag("f")]);
    let client = hooked(&service, [Recorder::new("a", &told), Recorder::new("b", &told)]);
    client.add_hook(Recorder::new("c", &told));
    assert!(client.variation("f", &user("u"), false));
    assert_eq!(stages(&taken(&told)), ["a before", "b before", "c before", "c after", "b after", "a after"]);
    client.track("bought", &user("u"), Value::Null, None);
    assert_eq!(stages(&taken(&told)), ["a track", "b track", "c track"]);
}

#[test]
fn a_hook_is_told_what_was_asked_and_what_came_of_it() {
    let told = Told::default();
    let service = FakeService::start([flag("f").serving(json!({"a": 1})), flag("part").serving(2.9)]);
    let client = hooked(&service, [Recorder::new("a", &told)]);
    let context = Context::builder("o:1").kind("org").set("plan", "gold").build().unwrap();
    let detail = client.variation_detail("f", &context, json!("default"));
    assert_eq!((detail.value, detail.variation_index), (json!({"a": 1}), Some(0)));
    let told_of = taken(&told);
    assert_eq!(
        told_of[0]["what"],
        json!({"flagKey": "f", "context": {"kind": "org", "key": "o:1", "plan": "gold"},
               "contextKey": "org:o%3A1", "default": "default", "method": "variation_detail",
               "environmentId": null})
    );
    assert_eq!(
        told_of[1]["what"],
        json!({"flagKey": "f", "method": "variation_detail", "value": {"a": 1}, "index": 0,
               "reason": "FALLTHROUGH", "from": "a", "names": ["from", "count"]})
    );

    assert_eq!(client.variation("part", &context, 0), 2_i64, "the caller's number is whole");
    let after = &taken(&told)[1]["what"];
    assert_eq!((&after["value"], &after["method"]), (&json!(2.9), &json!("variation")), "the flag's is not");

    let text = client.evaluate_with("f", &context, &Value::Null, false, |detail| detail.value.cloned());
    assert_eq!(text, Some(json!({"a": 1})));
    assert_eq!(taken(&told)[0]["what"]["method"], "variation");
    client.evaluate_with("f", &context, &Value::Null, true, |_| ());
    assert_eq!(taken(&told)[0]["what"]["method"], "variation_detail");
}

#[test]
fn data_goes_to_the_same_hook_of_the_same_evaluation_only() {
    let told = Told::default();
    let service = FakeService::start([flag("f")]);
    let client = hooked(&service, [Recorder::new("a", &told), Recorder::new("b", &told)]);
    for _ in 0..2 {
        client.variation("f", &user("u"), false);
        let afters: Vec<_> = taken(&told).split_off(2);
        let from: Vec<_> = afters.iter().map(|after| (&after["hook"], &after["what"]["from"])).collect();
        assert_eq!(from, [(&json!("b"), &json!("b")), (&json!("a"), &json!("a"))]);
    }
}

#[test]
fn hooks_run_whatever_the_answer_is() {
    let told = Told::default();
    let check = |client: &Client, key: &str, kind: ErrorKind| {
        let detail = client.variation_detail(key, &user("u"), "default");
        assert_eq!((detail.value.as_str(), detail.reason.error_kind()), ("default", Some(kind)), "{key}");
        let told_of = taken(&told);
        assert_eq!(stages(&told_of), ["a before", "a after"], "{key}");
        let after = &told_of[1]["what"];
        assert_eq!(
            (&after["value"], &after["index"], &after["reason"]),
            (&json!("default"), &Value::Null, &json!("ERROR"))
        );
    };
    let nowhere = Config::new("sdk-key").base_uri("http://127.0.0.1:9");
    let unconnected = Client::start(nowhere.hook(Recorder::new("a", &told))).unwrap();
    check(&unconnected, "f", ErrorKind::ClientNotReady);
    let offline = Client::start(Config::new("").offline(true).hook(Recorder::new("a", &told))).unwrap();
    check(&offline, "f", ErrorKind::ClientNotReady);

    let service = FakeService::start([flag("f"), flag("bad").with("variations", json!([]))]);
    let client = hooked(&service, [Recorder::new("a", &told)]);
    check(&client, "nope", ErrorKind::FlagNotFound);
    check(&client, "f", ErrorKind::WrongType);
    check(&client, "bad", ErrorKind::MalformedFlag);
    client.close();
    check(&client, "f", ErrorKind::ClientNotReady);
}

#[test]
fn prerequisites_and_the_state_of_all_flags_run_no_hooks() {
    let told = Told::default();
    let service = FakeService::start([
        flag("parent").with("prerequisites", json!([{"key": "child", "variation": 0}])),
        flag("child"),
    ]);
    let client = hooked(&service, [Recorder::new("a", &told)]);
    client.all_flags_state(&user("u"), AllFlagsOptions::default());
    assert!(taken(&told).is_empty());
    assert!(client.variation("parent", &user("u"), false));
    let keys: Vec<_> = taken(&told).iter().map(|told| told["what"]["flagKey"].clone()).collect();
    assert_eq!(keys, ["parent", "parent"]);
}

fn check_failure(fails: fn(&str) -> HookResult<()>, line: &str) {
    let (told, lines) = (Told::default(), Lines::default());
    let service = FakeService::start([flag("f")]);
    let client = started(
        config(&service)
            .log_to(Arc::new(lines.clone()))
            .hook(Recorder::failing("bad", &told, fails))
            .hook(Recorder::new("good", &told)),
    );
    for _ in 0..3 {
        assert!(client.variation("f", &user("u"), false), "the evaluation goes on");
        let told_of = taken(&told);
        assert_eq!(stages(&told_of), ["bad before", "good before", "good after", "bad after"]);
        assert_eq!(told_of[2]["what"]["from"], "good");
        assert_eq!(told_of[3]["what"]["names"], json!([]), "what failed hands nothing on");
        client.track("bought", &user("u"), Value::Null, None);
        assert_eq!(stages(&taken(&told)), ["bad track", "good track"]);
    }
    assert_eq!(
        lines.with("hook `bad`"),
        [
            format!("hook `bad` {line} before the evaluation of flag `f`: on purpose"),
            format!("hook `bad` {line} after the evaluation of flag `f`: on purpose"),
            format!("hook `bad` {line} after event `bought`: on purpose"),
        ],
        "each once, however often it happens"
    );
}

#[test]
fn a_stage_that_fails_is_logged_and_hands_nothing_on() {
    check_failure(|_| Err("on purpose".into()), "failed");
}

#[test]
fn a_stage_that_panics_is_logged_and_hands_nothing_on() {
    check_failure(|_| panic!("on purpose"), "panicked");
}

/// Asks the client about another flag, before and after.
struct Asking(Mutex<Option<Client>>, Mutex<Vec<String>>);

impl Asking {
    fn ask(&self, of: &str) {
        let client = self.0.lock().unwrap().clone();
        if let (Some(client), "outer") = (client, of) {
            let answer = client.variation("inner", &user("u"), "default");
            self.1.lock().unwrap().push(answer);
        }
    }
}

impl Hook for Asking {
    fn name(&self) -> &str {
        "asking"
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        self.ask(series.flag_key());
        Ok(data)
    }

    fn after_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        _: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        self.ask(series.flag_key());
        Ok(data)
    }
}

#[test]
fn a_hook_may_call_variation_and_flags_change_meanwhile() {
    let (service, client) = service_and_client([flag("outer"), flag("inner").serving("blue")]);
    let hook = Arc::new(Asking(Mutex::new(Some(client.clone())), Mutex::default()));
    client.add_hook(hook.clone());
    assert!(client.variation("outer", &user("u"), false));
    assert_eq!(*hook.1.lock().unwrap(), ["blue", "blue"]);
    service.patch(flag("inner").version(2).serving("red"));
    eventually("the change is served within a hook", || {
        hook.1.lock().unwrap().clear();
        client.variation("outer", &user("u"), false);
        (*hook.1.lock().unwrap() == ["red", "red"]).then_some(())
    });
    // A hook that keeps the client keeps it alive.
    *hook.0.lock().unwrap() = None;
}

#[test]
fn track_hooks_run_once_the_event_is_queued_and_not_when_there_is_no_client_any_more() {
    let told = Told::default();
    let service = FakeService::start([]);
    let client = hooked(&service, [Recorder::new("a", &told)]);
    client.track("bought", &user("u"), json!({"price": 320}), Some(3.5));
    let told_of = taken(&told);
    assert_eq!(
        told_of[0]["what"],
        json!({"key": "bought", "context": {"kind": "user", "key": "u"}, "data": {"price": 320},
               "metric": 3.5, "environmentId": null})
    );
    flush(&client);
    let event = &service.events_of_kind("custom")[0];
    assert_eq!(
        (&event["key"], &event["data"], &event["metricValue"]),
        (&json!("bought"), &json!({"price": 320}), &json!(3.5))
    );
    client.identify(&user("u"));
    client.close();
    client.track("bought", &user("u"), Value::Null, None);
    assert!(taken(&told).is_empty());
}

#[test]
fn track_hooks_run_also_if_events_are_not_sent() {
    let told = Told::default();
    let service = FakeService::start([]);
    let client = started(config(&service).send_events(false).hook(Recorder::new("a", &told)));
    client.track("bought", &user("u"), Value::Null, None);
    assert_eq!(stages(&taken(&told)), ["a track"]);
}

#[test]
fn the_environment_id_is_known_once_a_stream_or_a_poll_has_said_it() {
    let told = Told::default();
    let check = |client: &Client, id: &str| {
        eventually("the environment id is known", || {
            (client.environment_id().as_deref() == Some(id)).then_some(())
        });
        client.variation("f", &user("u"), false);
        client.track("bought", &user("u"), Value::Null, None);
        let told_of = taken(&told);
        for of in [&told_of[0], &told_of[2]] {
            assert_eq!(of["what"]["environmentId"], id, "{of}");
        }
    };
    let service = FakeService::start([flag("f")]);
    let all = flagstaff_testkit::all_data([flag("f")]).to_string();
    let header = |id: &str| vec![("X-LD-EnvID", id.to_owned())];
    service.answer_next("/sdk/latest-all", Answer::Status(200, header("env-1"), all.clone()));
    let polling = started(config(&service).stream(false).hook(Recorder::new("a", &told)));
    check(&polling, "env-1");

    let put = format!("event: put\ndata: {{\"path\":\"/\",\"data\":{all}}}\n\n");
    service.answer_next("/all", Answer::Status(200, header("env-2"), put));
    let streaming = hooked(&service, [Recorder::new("a", &told)]);
    check(&streaming, "env-2");
    assert_eq!(polling.environment_id().as_deref(), Some("env-1"));
}

#[test]
fn reasons_are_whole() {
    struct Whole(Mutex<Vec<ReasonKind<'static>>>);
    impl Hook for Whole {
        fn name(&self) -> &str {
            "whole"
        }
        fn after_evaluation(
            &self,
            _: &EvaluationSeriesContext<'_>,
            data: SeriesData,
            detail: &VariationDetail<&Value>,
        ) -> HookResult<SeriesData> {
            self.0.lock().unwrap().push(detail.reason.kind.clone());
            Ok(data)
        }
    }
    let rule = json!([{"id": "r1", "variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "key", "op": "in", "values": ["u"]}]}]);
    let (_service, client) = service_and_client([flag("rules").with("rules", rule)]);
    let hook = Arc::new(Whole(Mutex::default()));
    client.add_hook(hook.clone());
    assert!(!client.variation("rules", &user("u"), true));
    assert_eq!(*hook.0.lock().unwrap(), [ReasonKind::RuleMatch { index: 0, id: "r1".into() }]);
}

#[test]
fn data_keeps_one_value_of_a_name_and_tells_types_apart() {
    let data = SeriesData::default().with("a", 1_i32).with("b", "text").with("a", 2_i32);
    assert_eq!(data.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((data.get::<i32>("a"), data.get::<&str>("b")), (Some(&2), Some(&"text")));
    assert_eq!((data.get::<i64>("a"), data.get::<i32>("c")), (None, None));
    assert_eq!(format!("{data:?}"), r#"{"a", "b"}"#);
}
