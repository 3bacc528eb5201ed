//! Moving one system to another: which is called, who is believed, and what is reported.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use flagstaff_sdk::migrations::{
    ExecutionOrder, Failure, MigrationOpTracker, Migrator, Operation, Origin, Reads, Stage, Writes,
};
use flagstaff_sdk::{
    Client, Config, ErrorKind, EvaluationSeriesContext, Hook, HookResult, SeriesData, Value, VariationDetail,
};
use flagstaff_testkit::{FakeService, FlagBuilder, PATIENCE, flag, user};
use serde_json::json;

use crate::support::{Lines, config, flush, service_and_client, started};

/// A flag that steers a migration.
fn at(stage: &str) -> FlagBuilder {
    flag("m").version(7).serving(stage)
}

/// The events of this kind, without their time.
fn reported(client: &Client, service: &FakeService, kind: &str) -> Vec<Value> {
    flush(client);
    let mut events = service.events_of_kind(kind);
    for event in &mut events {
        event.as_object_mut().unwrap().remove("creationDate");
    }
    events
}

/// The one step that was reported.
fn step(client: &Client, service: &FakeService) -> Value {
    let steps = reported(client, service, "migration_op");
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps.into_iter().next().unwrap()
}

/// What was measured under this name.
fn measurement(step: &Value, name: &str) -> Option<Value> {
    step["measurements"].as_array().unwrap().iter().find(|of| of["key"] == name).cloned()
}

/// What was called, in order, with which payload.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, origin: &str, payload: &str) {
        self.0.lock().unwrap().push(format!("{origin} {payload}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// A function that notes its call, and gives the answer to its payload.
    fn giving(
        &self,
        origin: &'static str,
        answer: Result<&'static str, &'static str>,
    ) -> impl Fn(&str) -> Result<&'static str, &'static str> + Send + Sync + 'static {
        let calls = self.clone();
        move |payload: &str| {
            calls.note(origin, payload);
            answer
        }
    }
}

type Text = &'static str;

/// Reads and writes texts, one after the other, with these answers.
fn migrator(
    client: &Client,
    calls: &Calls,
    old: Result<Text, Text>,
    new: Result<Text, Text>,
) -> Migrator<Reads<str, Text, Text>, Writes<str, Text, Text>> {
    Migrator::builder(client)
        .read_execution_order(ExecutionOrder::Serial)
        .read(calls.giving("old", old), calls.giving("new", new))
        .compare(|old, new| old == new)
        .write(calls.giving("old", old), calls.giving("new", new))
        .build()
}

#[test]
fn each_stage_calls_the_origins_it_should_and_believes_one() {
    let origin = |name| if name == "old" { Origin::Old } else { Origin::New };
    for (stage, reads, writes) in [
        ("off", vec!["old"], vec!["old"]),
        ("dualwrite", vec!["old"], vec!["old", "new"]),
        ("shadow", vec!["old", "new"], vec!["old", "new"]),
        ("live", vec!["new", "old"], vec!["new", "old"]),
        ("rampdown", vec!["new"], vec!["new", "old"]),
        ("complete", vec!["new"], vec!["new"]),
    ] {
        let (service, client) = service_and_client([at(stage)]);
        let calls = Calls::default();
        let migrator = migrator(&client, &calls, Ok("from old"), Ok("from new"));
        let called = |names: &[&str]| names.iter().map(|name| format!("{name} p")).collect::<Vec<_>>();
        let invoked = |names: &[&str]| {
            let values = names.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
            json!({"key": "invoked", "values": Value::Object(values)})
        };

        let read = migrator.read("m", &user("u"), Stage::Off, "p");
        assert_eq!((stage, calls.take()), (stage, called(&reads)));
        assert_eq!(read.origin, origin(reads[0]), "{stage}");
        assert_eq!(read.result, Ok(if reads[0] == "old" { "from old" } else { "from new" }), "{stage}");

        let written = migrator.write("m", &user("u"), Stage::Off, "p");
        assert_eq!((stage, calls.take()), (stage, called(&writes)));
        assert_eq!(written.authoritative.origin, origin(writes[0]), "{stage}");
        let other = written.nonauthoritative.map(|other| other.origin);
        assert_eq!(other, writes.get(1).map(|name| origin(name)), "{stage}");

        let steps = reported(&client, &service, "migration_op");
        assert_eq!(steps.len(), 2, "{stage}");
        assert_eq!((&steps[0]["operation"], &steps[1]["operation"]), (&json!("read"), &json!("write")));
        assert_eq!(measurement(&steps[0], "invoked"), Some(invoked(&reads)), "{stage}");
        assert_eq!(measurement(&steps[1], "invoked"), Some(invoked(&writes)), "{stage}");
    }
}

#[test]
fn a_step_says_what_decided_it_and_what_was_measured() {
    let settings = json!({"checkRatio": 1});
    let (service, client) = service_and_client([at("live").with("migration", settings)]);
    let migrator = migrator(&client, &Calls::default(), Ok("same"), Ok("same"));
    migrator.read("m", &user("u"), Stage::Shadow, "p");
    let mut step = step(&client, &service);
    let latency = step["measurements"].as_array_mut().unwrap().remove(2);
    assert_eq!(
        step,
        json!({"kind": "migration_op", "operation": "read", "context": {"kind": "user", "key": "u"},
            "evaluation": {"key": "m", "version": 7, "variation": 0, "value": "live", "default": "shadow",
                "reason": {"kind": "FALLTHROUGH"}},
            "measurements": [{"key": "invoked", "values": {"old": true, "new": true}},
                {"key": "consistent", "value": true}]})
    );
    assert_eq!(latency["key"], "latency_ms");
    for origin in ["old", "new"] {
        assert!(
            latency["values"][origin].as_f64().is_some_and(|ms| (0.0..20_000.0).contains(&ms)),
            "{latency}"
        );
    }
    // The evaluation is counted and its context introduced, as ever.
    assert_eq!(service.counted("m", &json!("live")), 1);
    assert_eq!(service.events_of_kind("index").len(), 1);
}

/// The stage that is in force, and why.
fn check_detail(flags: Option<FlagBuilder>, expected: (Stage, Option<usize>, Option<ErrorKind>)) -> Value {
    let (service, client) = service_and_client(flags);
    let (stage, mut tracker) = client.migration_variation("m", &user("u"), Stage::RampDown);
    let detail = tracker.detail().clone();
    assert_eq!(stage, detail.value);
    assert_eq!((stage, detail.variation_index, detail.reason.error_kind()), expected);
    tracker.operation(Operation::Write).invoked(Origin::New);
    client.track_migration_op(tracker);
    step(&client, &service)["evaluation"].clone()
}

#[test]
fn the_default_is_served_where_there_is_no_stage_and_the_reason_is_kept() {
    check_detail(Some(at("complete")), (Stage::Complete, Some(0), None));
    let evaluation = check_detail(None, (Stage::RampDown, None, Some(ErrorKind::FlagNotFound)));
    let reason = json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"});
    assert_eq!(evaluation, json!({"key": "m", "value": "rampdown", "default": "rampdown", "reason": reason}));
    let wrong_type = json!({"key": "m", "version": 7, "value": "rampdown", "default": "rampdown",
        "reason": {"kind": "ERROR", "errorKind": "WRONG_TYPE"}});
    for no_stage in [json!("LIVE"), json!(""), json!(3), json!(null)] {
        let flag = flag("m").version(7).serving(no_stage);
        let evaluation = check_detail(Some(flag), (Stage::RampDown, None, Some(ErrorKind::WrongType)));
        assert_eq!(evaluation, wrong_type);
    }
    let malformed = at("live").with("fallthrough", json!({"variation": 9}));
    check_detail(Some(malformed), (Stage::RampDown, None, Some(ErrorKind::MalformedFlag)));
    let off_without_a_variation = at("live").off().with("offVariation", Value::Null);
    let evaluation = check_detail(Some(off_without_a_variation), (Stage::RampDown, None, None));
    assert_eq!(evaluation["reason"], json!({"kind": "OFF"}));
}

#[test]
fn a_read_that_fails_does_not_keep_the_other_from_being_made() {
    let (service, client) = service_and_client([at("shadow")]);
    let calls = Calls::default();
    let migrator = migrator(&client, &calls, Err("no disk"), Ok("from new"));
    let read = migrator.read("m", &user("u"), Stage::Off, "p");
    assert_eq!(read.result, Err(Failure::Failed("no disk")));
    assert_eq!(calls.take(), ["old p", "new p"]);
    let step = step(&client, &service);
    assert_eq!(measurement(&step, "error"), Some(json!({"key": "error", "values": {"old": true}})));
    // What failed cannot be compared, but took its time.
    assert_eq!(measurement(&step, "consistent"), None);
    assert!(measurement(&step, "latency_ms").unwrap()["values"]["old"].is_number());
}

#[test]
fn a_write_that_fails_keeps_the_other_from_being_made() {
    let (service, client) = service_and_client([at("live")]);
    let calls = Calls::default();
    let migrator = migrator(&client, &calls, Ok("written"), Err("no disk"));
    let written = migrator.write("m", &user("u"), Stage::Off, "p");
    assert_eq!(written.authoritative.result, Err(Failure::Failed("no disk")));
    assert!(written.nonauthoritative.is_none());
    assert_eq!(calls.take(), ["new p"]);
    let step = step(&client, &service);
    assert_eq!(measurement(&step, "invoked"), Some(json!({"key": "invoked", "values": {"new": true}})));
    assert_eq!(measurement(&step, "error"), Some(json!({"key": "error", "values": {"new": true}})));
}

#[test]
fn a_second_write_that_fails_is_told_of() {
    let (service, client) = service_and_client([at("dualwrite")]);
    let migrator = migrator(&client, &Calls::default(), Ok("written"), Err("no disk"));
    let written = migrator.write("m", &user("u"), Stage::Off, "p");
    assert!(written.authoritative.is_success());
    assert_eq!(written.nonauthoritative.unwrap().result, Err(Failure::Failed("no disk")));
    let step = step(&client, &service);
    assert_eq!(measurement(&step, "error"), Some(json!({"key": "error", "values": {"new": true}})));
}

#[test]
fn latency_and_errors_are_measured_unless_they_are_not_wanted() {
    let (service, client) = service_and_client([at("shadow")]);
    let failing = |_: &()| Err::<(), &str>("no");
    let migrator =
        Migrator::builder(&client).track_latency(false).track_errors(false).read(failing, failing).build();
    assert!(!migrator.read("m", &user("u"), Stage::Off, &()).is_success());
    let step = step(&client, &service);
    assert_eq!(step["measurements"], json!([{"key": "invoked", "values": {"old": true, "new": true}}]));
}

/// Whether a read of both, with these answers, is said to be consistent.
fn consistency(ratio: i64, old: Text, new: Text) -> Option<Value> {
    let settings = json!({"checkRatio": ratio});
    let (service, client) = service_and_client([at("shadow").with("migration", settings)]);
    migrator(&client, &Calls::default(), Ok(old), Ok(new)).read("m", &user("u"), Stage::Off, "p");
    measurement(&step(&client, &service), "consistent")
}

#[test]
fn what_both_give_is_compared_as_often_as_the_flag_says() {
    let consistent = |value: bool| Some(json!({"key": "consistent", "value": value}));
    assert_eq!(consistency(1, "a", "a"), consistent(true));
    assert_eq!(consistency(1, "a", "b"), consistent(false));
    assert_eq!(consistency(0, "a", "b"), None);
}

#[test]
fn the_comparison_is_given_the_old_value_first_whichever_is_believed() {
    for stage in ["shadow", "live"] {
        let (service, client) = service_and_client([at(stage)]);
        let migrator = Migrator::builder(&client)
            .read(|_: &()| Ok::<_, ()>("old"), |_: &()| Ok("new"))
            .compare(|old, new| (*old, *new) == ("old", "new"))
            .build();
        migrator.read("m", &user("u"), Stage::Off, &());
        assert_eq!(measurement(&step(&client, &service), "consistent").unwrap()["value"], true, "{stage}");
    }
}

#[test]
fn steps_are_sampled_by_the_flag() {
    let check = |ratio: i64, sampled: bool| {
        let (service, client) = service_and_client([at("off").with("samplingRatio", ratio)]);
        migrator(&client, &Calls::default(), Ok("a"), Ok("a")).read("m", &user("u"), Stage::Off, "p");
        assert_eq!(reported(&client, &service, "migration_op").len(), usize::from(sampled), "{ratio}");
    };
    check(0, false);
    check(1, true);
    let (service, client) = service_and_client([at("off").with("samplingRatio", 4)]);
    let migrator = migrator(&client, &Calls::default(), Ok("a"), Ok("a"));
    for _ in 0..1_000 {
        migrator.read("m", &user("u"), Stage::Off, "p");
    }
    let steps = reported(&client, &service, "migration_op");
    // 250 are expected, with a standard deviation of 14.
    assert!((150..350).contains(&steps.len()), "{}", steps.len());
    assert!(steps.iter().all(|step| step["samplingRatio"] == 4));
}

#[test]
fn a_function_that_panics_has_failed_and_the_program_goes_on() {
    for order in [ExecutionOrder::Serial, ExecutionOrder::Random, ExecutionOrder::Concurrent] {
        let service = FakeService::start([at("live")]);
        let lines = Lines::default();
        let client = started(config(&service).log_to(Arc::new(lines.clone())));
        let migrator = Migrator::builder(&client)
            .read_execution_order(order)
            .read(|_: &()| -> Result<u8, ()> { panic!("old on purpose") }, |_: &()| panic!("new on purpose"))
            .write(|_: &()| Ok::<_, ()>(1), |_: &()| Ok(panicking()))
            .build();
        let read = migrator.read("m", &user("u"), Stage::Off, &());
        assert_eq!((read.origin, read.result), (Origin::New, Err(Failure::Panicked)));
        let written = migrator.write("m", &user("u"), Stage::Off, &());
        assert_eq!(written.authoritative.result, Err(Failure::Panicked));
        assert!(written.nonauthoritative.is_none());
        let steps = reported(&client, &service, "migration_op");
        assert_eq!(
            measurement(&steps[0], "error"),
            Some(json!({"key": "error", "values": {"old": true, "new": true}}))
        );
        assert_eq!(lines.with("on purpose").len(), 3, "{}", lines.text());
    }
}

fn panicking() -> u8 {
    panic!("write on purpose")
}

#[test]
fn a_comparison_that_panics_is_no_comparison() {
    let (service, client) = service_and_client([at("shadow")]);
    let read = |_: &()| Ok::<_, ()>(1);
    let migrator = Migrator::builder(&client).read(read, read).compare(|_, _| panic!("on purpose")).build();
    assert_eq!(migrator.read("m", &user("u"), Stage::Off, &()).result, Ok(1));
    assert_eq!(measurement(&step(&client, &service), "consistent"), None);
}

#[test]
fn both_are_read_at_once_unless_told_otherwise() {
    let (_service, client) = service_and_client([at("live")]);
    // Neither gets past it alone.
    let both = Arc::new(Barrier::new(2));
    let [old, new] = [both.clone(), both];
    let migrator = Migrator::builder(&client)
        .read(
            move |payload: &str| {
                old.wait();
                Ok::<_, ()>(format!("old {payload}"))
            },
            move |payload: &str| {
                new.wait();
                Ok(format!("new {payload}"))
            },
        )
        .build();
    let (sender, read) = std::sync::mpsc::channel();
    thread::spawn(move || sender.send(migrator.read("m", &user("u"), Stage::Off, "p").result));
    assert_eq!(read.recv_timeout(PATIENCE).unwrap(), Ok("new p".to_owned()));
}

#[test]
fn a_random_order_is_now_this_and_now_that() {
    let (_service, client) = service_and_client([at("shadow")]);
    let calls = Calls::default();
    let migrator = Migrator::builder(&client)
        .read_execution_order(ExecutionOrder::Random)
        .read(calls.giving("old", Ok("a")), calls.giving("new", Ok("b")))
        .build();
    let mut old_first = 0;
    for _ in 0..100 {
        // Whichever is first, the old one is believed.
        assert_eq!(migrator.read("m", &user("u"), Stage::Off, "p").result, Ok("a"));
        old_first += usize::from(calls.take() == ["old p", "new p"]);
    }
    // 50 are expected, with a standard deviation of 5.
    assert!((20..80).contains(&old_first), "{old_first}");
}

/// What the log says if these things are noted, and no step is reported.
fn refused(note: impl FnOnce(&mut MigrationOpTracker)) -> String {
    let service = FakeService::start([at("live")]);
    let lines = Lines::default();
    let client = started(config(&service).log_to(Arc::new(lines.clone())));
    let (_, mut tracker) = client.migration_variation("m", &user("u"), Stage::Off);
    note(&mut tracker);
    client.track_migration_op(tracker);
    assert!(reported(&client, &service, "migration_op").is_empty());
    let lines = lines.with("the migration `m`");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().unwrap()
}

#[test]
fn a_step_that_does_not_add_up_is_logged_and_not_reported() {
    let ms = Duration::from_millis(1);
    let vague = refused(|step| {
        step.invoked(Origin::Old);
    });
    assert!(vague.contains("the operation"), "{vague}");
    let idle = refused(|step| {
        step.operation(Operation::Read);
    });
    assert!(idle.contains("no origin was invoked"), "{idle}");
    let late = refused(|step| {
        step.operation(Operation::Read).invoked(Origin::Old).latency(Origin::New, ms);
    });
    assert!(late.contains("the latency of the new origin"), "{late}");
}

/// Notes what it is told.
#[derive(Default)]
struct Listening(Mutex<Vec<String>>);

impl Hook for Listening {
    fn name(&self) -> &str {
        "listening"
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        let (method, default) = (series.method(), series.default_value());
        self.0.lock().unwrap().push(format!("before {method} {} {default}", series.flag_key()));
        Ok(data)
    }

    fn after_evaluation(
        &self,
        _: &EvaluationSeriesContext<'_>,
        data: SeriesData,
        detail: &VariationDetail<&Value>,
    ) -> HookResult<SeriesData> {
        let reason = detail.reason.error_kind();
        self.0
            .lock()
            .unwrap()
            .push(format!("after {} {:?} {reason:?}", detail.value, detail.variation_index));
        Ok(data)
    }
}

#[test]
fn hooks_run_around_the_question_for_the_stage() {
    let service = FakeService::start([at("live"), flag("number").serving(3)]);
    let hook = Arc::new(Listening::default());
    let client = started(config(&service).hook(hook.clone()));
    client.migration_variation("m", &user("u"), Stage::Off);
    client.migration_variation("number", &user("u"), Stage::Shadow);
    assert_eq!(
        *hook.0.lock().unwrap(),
        [
            "before migration_variation m \"off\"",
            "after \"live\" Some(0) None",
            "before migration_variation number \"shadow\"",
            "after \"shadow\" None Some(WrongType)",
        ]
    );
}

#[test]
fn an_offline_client_serves_the_default_stage_and_reports_nothing() {
    let client = Client::start(Config::new("").offline(true)).unwrap();
    let calls = Calls::default();
    let migrator = migrator(&client, &calls, Ok("from old"), Ok("from new"));
    assert_eq!(migrator.read("m", &user("u"), Stage::Complete, "p").result, Ok("from new"));
    assert_eq!(calls.take(), ["new p"]);
}

// ---- asynchronous functions ----------------------------------------------------------------------------

/// As little of an executor as there can be.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn asynchronous_functions_are_read_at_once_on_any_executor() {
    let (service, client) = service_and_client([at("live")]);
    let rounds = Arc::new(tokio::sync::Barrier::new(2));
    let read = move |origin: &'static str| {
        let rounds = rounds.clone();
        move |payload: String| {
            let rounds = rounds.clone();
            async move {
                rounds.wait().await;
                Ok::<_, ()>(format!("{origin} {payload}"))
            }
        }
    };
    let migrator = Migrator::builder(&client)
        .read_async(read("old"), read("new"))
        .compare(|old, new| old == new)
        .build();
    let result = block_on(migrator.read("m", &user("u"), Stage::Off, "p".to_owned()));
    assert_eq!((result.origin, result.result), (Origin::New, Ok("new p".to_owned())));
    let step = step(&client, &service);
    assert_eq!(measurement(&step, "consistent").unwrap()["value"], false);
    assert!(measurement(&step, "latency_ms").unwrap()["values"]["old"].is_number());

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // On a task of its own: the future can be sent to another thread.
    let read = runtime.spawn(async move { migrator.read("m", &user("u"), Stage::Off, "q".to_owned()).await });
    assert_eq!(runtime.block_on(read).unwrap().result, Ok("new q".to_owned()));
}

#[test]
fn the_stage_can_be_awaited() {
    let (service, client) = service_and_client([at("live")]);
    let (stage, mut tracker) = block_on(client.migration_variation_async("m", &user("u"), Stage::Off));
    assert_eq!(stage, Stage::Live);
    tracker.operation(Operation::Read).invoked(Origin::New);
    client.track_migration_op(tracker);
    assert_eq!(step(&client, &service)["evaluation"]["value"], "live");
    assert_eq!(service.counted("m", &json!("live")), 1);
}

#[test]
fn asynchronous_writes_follow_the_same_rules() {
    let calls = Calls::default();
    let writing = |origin: &'static str, answer: Result<u8, &'static str>| {
        let calls = calls.clone();
        move |payload: &'static str| {
            calls.note(origin, payload);
            async move {
                tokio::task::yield_now().await;
                answer
            }
        }
    };
    let (service, client) = service_and_client([at("dualwrite")]);
    let migrator =
        Migrator::builder(&client).write_async(writing("old", Ok(1)), writing("new", Err("no disk"))).build();
    let written = block_on(migrator.write("m", &user("u"), Stage::Off, "p"));
    assert_eq!(written.authoritative.result, Ok(1));
    assert_eq!(written.nonauthoritative.unwrap().result, Err(Failure::Failed("no disk")));
    let first_fails =
        Migrator::builder(&client).write_async(writing("old", Err("no disk")), writing("new", Ok(1))).build();
    assert!(block_on(first_fails.write("m", &user("u"), Stage::Off, "q")).nonauthoritative.is_none());
    assert_eq!(calls.take(), ["old p", "new p", "old q"]);
    let errors: Vec<Option<Value>> = reported(&client, &service, "migration_op")
        .iter()
        .map(|step| measurement(step, "error").map(|error| error["values"].clone()))
        .collect();
    assert_eq!(errors, [Some(json!({"new": true})), Some(json!({"old": true}))]);
}

#[test]
fn an_asynchronous_function_that_panics_has_failed_wherever_it_does() {
    let (service, client) = service_and_client([at("shadow")]);
    let migrator = Migrator::builder(&client)
        .read_execution_order(ExecutionOrder::Serial)
        .read_async(
            |_: ()| async {
                tokio::task::yield_now().await;
                panic!("later, on purpose")
            },
            |_: ()| -> std::future::Ready<Result<u8, ()>> { panic!("at once, on purpose") },
        )
        .build();
    let read = block_on(migrator.read("m", &user("u"), Stage::Off, ()));
    assert_eq!(read.result, Err(Failure::Panicked));
    let step = step(&client, &service);
    assert_eq!(measurement(&step, "error").unwrap()["values"], json!({"old": true, "new": true}));
}

#[test]
fn what_fails_says_why() {
    let failure = Failure::Failed(std::io::Error::other("no disk"));
    let source = std::error::Error::source(&failure).unwrap().to_string();
    assert_eq!((failure.to_string().as_str(), source.as_str()), ("the function failed", "no disk"));
}
