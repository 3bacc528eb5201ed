"""Migrations: what is read and written at each stage, and what is reported of it."""

import contextvars
import inspect
import threading
from datetime import timedelta

import ldclient
import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Context, LDClient
from ldclient.evaluation import EvaluationDetail
from ldclient.migrations import (
    ExecutionOrder,
    MigrationConfig,
    MigrationOpEvent,
    Migrator,
    MigratorBuilder,
    Operation,
    OperationResult,
    Origin,
    OpTracker,
    Result,
    Stage,
    WriteResult,
)

CONTEXT = Context.create("u")
USER = {"key": "u", "custom": {"plan": "gold"}}
OLD, NEW = Origin.OLD, Origin.NEW
READ, WRITE = Operation.READ, Operation.WRITE
MS = timedelta(milliseconds=1)

#: Stage: (which origins are read, which are written); the first of each is believed.
PLANS = {
    Stage.OFF: ([OLD], [OLD]),
    Stage.DUALWRITE: ([OLD], [OLD, NEW]),
    Stage.SHADOW: ([OLD, NEW], [OLD, NEW]),
    Stage.LIVE: ([NEW, OLD], [NEW, OLD]),
    Stage.RAMPDOWN: ([NEW], [NEW, OLD]),
    Stage.COMPLETE: ([NEW], [NEW]),
}


def flag(value, **more):
    return {"version": 7, "on": True, "variations": [value], "fallthrough": {"variation": 0}, **more}


FLAGS = {
    **{stage.value: flag(stage.value) for stage in Stage},
    "other": flag("finished"),
    "bool": flag(True),
    "off-without-variation": {"version": 2, "on": False, "variations": ["live"]},
    "never-checked": flag("shadow", migration={"checkRatio": 0}),
    "checked-often": flag("shadow", migration={"checkRatio": 2}),
    "never-sent": flag("live", samplingRatio=0),
    "sent-often": flag("live", samplingRatio=2),
    "rule": flag("live", variations=["live", "off"], fallthrough={"variation": 1}, rules=[
        {"id": "r1", "variation": 0, "clauses": [
            {"attribute": "plan", "op": "in", "values": ["gold"], "contextKind": "user"}]}]),
}


@pytest.fixture
def service():
    service = FakeService(FLAGS)
    yield service
    service.close()


class Origins:
    """Two systems that say what is done with them."""

    def __init__(self, fail=(), differ=False):
        self.calls = []
        self.fail = fail
        self.differ = differ

    def function(self, what, origin):
        def call(payload):
            self.calls.append((what, origin, payload))
            if (what, origin) in self.fail:
                return Result.fail("%s failed" % origin.value, ValueError(origin.value))
            return Result.success(origin.value if self.differ else "same")

        return call

    def migrator(self, client, **options):
        builder = MigratorBuilder(client)
        if "order" in options:
            builder.read_execution_order(options["order"])
        if "track_latency" in options:
            builder.track_latency(options["track_latency"])
        if "track_errors" in options:
            builder.track_errors(options["track_errors"])
        builder.read(self.function("read", OLD), self.function("read", NEW), options.get("comparison"))
        return builder.write(self.function("write", OLD), self.function("write", NEW)).build()

    def called(self):
        return [origin for _, origin, _ in self.calls]


def steps(service, count=1):
    return service.wait_for_events(count, kind="migration_op")


def measurements(step):
    return {one["key"]: one.get("values", one.get("value")) for one in step["measurements"]}


def names(*origins):
    return {origin.value: True for origin in origins}


@pytest.mark.parametrize("order", ExecutionOrder)
@pytest.mark.parametrize("stage", Stage)
def test_each_stage_reads_what_it_should_and_believes_the_right_one(service, client, stage, order):
    origins = Origins(differ=True)
    result = origins.migrator(client, order=order).read(stage.value, CONTEXT, Stage.OFF, "payload")
    read, _ = PLANS[stage]
    if order is ExecutionOrder.SERIAL:
        assert origins.called() == read
    assert sorted(origin.value for origin in origins.called()) == sorted(origin.value for origin in read)
    assert {(what, payload) for what, _, payload in origins.calls} == {("read", "payload")}
    assert (type(result), result.is_success(), result.origin, result.value) == (
        OperationResult, True, read[0], read[0].value,
    )
    client.close()
    (step,) = steps(service)
    assert step["operation"] == "read"
    assert measurements(step)["invoked"] == names(*read)
    assert set(measurements(step)["latency_ms"]) == set(names(*read))


@pytest.mark.parametrize("stage", Stage)
def test_each_stage_writes_what_it_should_the_believed_one_first(service, client, stage):
    origins = Origins(differ=True)
    result = origins.migrator(client).write(stage.value, CONTEXT, Stage.OFF, "payload")
    _, written = PLANS[stage]
    assert origins.calls == [("write", origin, "payload") for origin in written]
    results = [result.authoritative] + ([result.nonauthoritative] if len(written) == 2 else [])
    assert [(one.origin, one.value) for one in results] == [(origin, origin.value) for origin in written]
    assert (result.nonauthoritative is None) == (len(written) == 1)
    client.close()
    (step,) = steps(service)
    assert (step["operation"], measurements(step)["invoked"]) == ("write", names(*written))


def test_either_origin_is_first_in_random_order(client):
    first = set()
    for _ in range(200):
        origins = Origins()
        origins.migrator(client, order=ExecutionOrder.RANDOM).read("shadow", CONTEXT, Stage.OFF)
        first.add(origins.called()[0])
        if len(first) == 2:
            break
    assert first == {OLD, NEW}


def test_both_are_read_at_once_and_see_the_callers_context_variables(client):
    both = threading.Barrier(2, timeout=TIMEOUT)
    variable = contextvars.ContextVar("variable")
    variable.set("set by the caller")

    def read(origin):
        def call(payload):
            both.wait()
            seen.add((origin, variable.get(), threading.current_thread() is caller))
            return Result.success(origin)

        return call

    seen, caller = set(), threading.current_thread()
    migrator = MigratorBuilder(client).read(read(OLD), read(NEW)).write(read(OLD), read(NEW)).build()
    assert migrator.read("live", CONTEXT, Stage.OFF).value is NEW
    # The one that is believed is read where the caller is.
    assert seen == {(NEW, "set by the caller", True), (OLD, "set by the caller", False)}


def test_both_are_read_one_after_the_other_if_there_is_no_thread(client, caplog, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    origins = Origins()
    migrator = origins.migrator(client)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert migrator.read("live", CONTEXT, Stage.OFF).is_success()
    assert origins.called() == [NEW, OLD]
    assert any("can't start new thread" in message for message in caplog.messages)


@pytest.mark.parametrize("order", ExecutionOrder)
def test_the_other_one_is_read_even_if_the_believed_one_fails(service, client, order):
    compared = []
    origins = Origins(fail=[("read", NEW)])
    migrator = origins.migrator(client, order=order, comparison=lambda *both: compared.append(both))
    result = migrator.read("live", CONTEXT, Stage.OFF)
    assert compared == []
    assert (result.is_success(), result.value, result.error) == (False, None, "new failed")
    assert str(result.exception) == "new" and result.origin is NEW
    assert sorted(origin.value for origin in origins.called()) == ["new", "old"]
    client.close()
    (step,) = steps(service)
    assert measurements(step)["error"] == {"new": True}
    assert set(measurements(step)) == {"invoked", "latency_ms", "error"}


@pytest.mark.parametrize(
    "stage, written", [(stage, PLANS[stage][1]) for stage in Stage if len(PLANS[stage][1]) == 2], ids=str
)
def test_the_second_write_is_left_out_if_the_first_fails_and_not_the_other_way_round(service, client, stage, written):
    first, second = written
    refused = Origins(fail=[("write", first)])
    result = refused.migrator(client).write(stage.value, CONTEXT, Stage.OFF)
    assert refused.called() == [first]
    assert (result.authoritative.error, result.nonauthoritative) == ("%s failed" % first.value, None)

    half = Origins(fail=[("write", second)])
    result = half.migrator(client).write(stage.value, CONTEXT, Stage.OFF)
    assert half.called() == [first, second]
    assert result.authoritative.is_success() and result.nonauthoritative.error == "%s failed" % second.value
    client.close()
    assert [measurements(step)["error"] for step in steps(service, 2)] == [names(first), names(second)]


@pytest.mark.parametrize("order", ExecutionOrder)
@pytest.mark.parametrize("gives", [ZeroDivisionError, TypeError])
def test_a_function_that_raises_or_gives_no_result_has_failed(service, client, order, gives):
    def bad(payload):
        return 1 / 0 if gives is ZeroDivisionError else 5

    builder = MigratorBuilder(client).read_execution_order(order).read(bad, bad).write(bad, bad)
    migrator = builder.build()
    read = migrator.read("shadow", CONTEXT, Stage.OFF)
    written = migrator.write("live", CONTEXT, Stage.OFF).authoritative
    assert (read.error, type(read.exception)) == ("'old operation raised an exception", gives)
    assert (written.error, type(written.exception)) == ("'new operation raised an exception", gives)
    client.close()
    assert [measurements(step)["error"] for step in steps(service, 2)] == [names(OLD, NEW), names(NEW)]


@pytest.mark.parametrize("order", ExecutionOrder)
@pytest.mark.parametrize("interrupted", [OLD, NEW])
def test_an_interrupt_in_a_function_reaches_the_program(client, order, interrupted):
    def function(origin):
        def read(payload):
            if origin is interrupted:
                raise KeyboardInterrupt
            return Result.success(origin)

        return read

    builder = MigratorBuilder(client).read_execution_order(order).read(function(OLD), function(NEW))
    migrator = builder.write(function(OLD), function(NEW)).build()
    with pytest.raises(KeyboardInterrupt):
        migrator.read("shadow", CONTEXT, Stage.OFF)


@pytest.mark.parametrize("stage", ["shadow", "live"])
@pytest.mark.parametrize("differ", [False, True])
def test_the_old_and_the_new_answer_are_compared_in_this_order(service, client, stage, differ):
    def same(old, new):
        compared.append((old, new))
        return old == new

    compared = []
    Origins(differ=differ).migrator(client, comparison=same).read(stage, CONTEXT, Stage.OFF)
    client.close()
    (step,) = steps(service)
    assert compared == [("old", "new") if differ else ("same", "same")]
    assert measurements(step)["consistent"] is not differ
    assert "samplingRatio" not in step["measurements"][1]


def test_a_comparison_that_raises_is_logged_and_not_reported(service, client, caplog):
    migrator = Origins().migrator(client, comparison=lambda old, new: 1 / 0)
    assert migrator.read("shadow", CONTEXT, Stage.OFF).is_success()
    client.close()
    assert "consistent" not in measurements(steps(service)[0])
    problem = "ZeroDivisionError('division by zero')"
    said = "exception raised during consistency check %s; failed to record measurement" % problem
    assert said in caplog.messages


def test_answers_are_not_compared_without_a_comparison_or_with_one_origin(service, client):
    compared = []
    Origins().migrator(client).read("shadow", CONTEXT, Stage.OFF)
    Origins().migrator(client, comparison=lambda *both: compared.append(both)).read("rampdown", CONTEXT, Stage.OFF)
    client.close()
    assert ["consistent" in measurements(step) for step in steps(service, 2)] == [False, False] and compared == []


def test_the_flag_says_how_many_reads_are_compared(service, client):
    compared = []
    migrator = Origins().migrator(client, comparison=lambda *both: compared.append(both) or True)
    for _ in range(20):
        migrator.read("never-checked", CONTEXT, Stage.OFF)
    assert compared == []
    # All or none of a hundred would be as likely as 2 in 2 to the hundredth.
    for _ in range(100):
        migrator.read("checked-often", CONTEXT, Stage.OFF)
    assert 0 < len(compared) < 100
    client.close()
    checked = [
        one for step in steps(service, 120) for one in step["measurements"] if one["key"] == "consistent"
    ]
    assert checked == [{"key": "consistent", "value": True, "samplingRatio": 2}] * len(compared)


def test_the_flag_says_how_many_steps_are_reported(service, client):
    migrator = Origins().migrator(client)
    for _ in range(20):
        migrator.write("never-sent", CONTEXT, Stage.OFF)
    for _ in range(100):
        migrator.write("sent-often", CONTEXT, Stage.OFF)
    client.close()
    reported = steps(service)
    assert {step["evaluation"]["key"] for step in reported} == {"sent-often"}
    assert 0 < len(reported) < 100
    assert {step["samplingRatio"] for step in reported} == {2}


def test_what_is_measured_can_be_chosen(service, client):
    origins = Origins(fail=[("read", OLD)])
    origins.migrator(client, track_latency=False, track_errors=False).read("live", CONTEXT, Stage.OFF)
    client.close()
    assert steps(service)[0]["measurements"] == [{"key": "invoked", "values": {"old": True, "new": True}}]


def test_a_step_is_reported_with_what_decided_it(service, client):
    Origins().migrator(client, track_latency=False).write("rule", USER, Stage.SHADOW)
    client.close()
    (step,) = steps(service)
    assert abs(step.pop("creationDate") - service.events()[0]["creationDate"]) < TIMEOUT * 1_000
    assert step == {
        "kind": "migration_op",
        "operation": "write",
        "context": {"kind": "user", "key": "u", "plan": "gold"},
        "evaluation": {
            "key": "rule", "version": 7, "variation": 0, "value": "live", "default": "shadow",
            "reason": {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r1"},
        },
        "measurements": [{"key": "invoked", "values": {"old": True, "new": True}}],
    }
    # The evaluation is counted like any other.
    (summary,) = service.wait_for_events(kind="summary")
    counter = {"variation": 0, "version": 7, "value": "live", "count": 1}
    assert summary["features"]["rule"]["counters"] == [counter]
    assert summary["features"]["rule"]["default"] == "shadow"


@pytest.mark.parametrize("reason", [
    {"kind": "OFF"},
    {"kind": "FALLTHROUGH", "inExperiment": True},
    {"kind": "TARGET_MATCH"},
    {"kind": "RULE_MATCH", "ruleIndex": 3, "ruleId": "r"},
    {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "p"},
    {"kind": "FALLTHROUGH", "bigSegmentsStatus": "STORE_ERROR"},
    {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"},
    {"kind": "ERROR", "errorKind": "EXCEPTION"},
], ids=str)
def test_reasons_arrive_as_they_are(service, client, reason):
    detail = EvaluationDetail("live", None, reason)
    client.track_migration_op(OpTracker("m", None, USER, detail, Stage.OFF).operation(READ).invoked(OLD))
    client.close()
    assert steps(service)[0]["evaluation"] == {"key": "m", "value": "live", "default": "off", "reason": reason}


def test_a_stage_comes_with_a_tracker_that_knows_the_flag(client):
    stage, tracker = client.migration_variation("live", CONTEXT, Stage.OFF)
    event = tracker.operation(READ).invoked(OLD).build()
    assert stage is Stage.LIVE
    assert type(event) is MigrationOpEvent and type(tracker) is OpTracker
    assert (event.key, event.context, event.flag["version"], event.default_stage) == ("live", CONTEXT, 7, Stage.OFF)
    assert event.detail == EvaluationDetail("live", 0, {"kind": "FALLTHROUGH"})
    assert (event.invoked, event.consistent, event.consistent_ratio, event.errors, event.latencies) == (
        {OLD}, None, None, set(), {},
    )


@pytest.mark.parametrize("key, error", [
    ("no-such-flag", "FLAG_NOT_FOUND"), ("other", "WRONG_TYPE"), ("bool", "WRONG_TYPE"), (5, "FLAG_NOT_FOUND"),
])
def test_a_flag_that_serves_no_stage_gives_the_default(client, key, error):
    stage, tracker = client.migration_variation(key, CONTEXT, Stage.SHADOW)
    event = tracker.operation(READ).invoked(OLD).build()
    assert stage is Stage.SHADOW
    assert event.detail == EvaluationDetail("shadow", None, {"kind": "ERROR", "errorKind": error})


def test_a_flag_that_serves_no_stage_is_named_once(client, caplog):
    for _ in range(2):
        client.migration_variation("other", CONTEXT, Stage.LIVE)
    said = 'Feature flag "other" steers a migration, but its value "finished" is no stage; using \'live\' instead'
    assert caplog.messages == [said]


def test_a_flag_that_is_off_without_a_variation_gives_the_default_and_says_why(client):
    stage, tracker = client.migration_variation("off-without-variation", CONTEXT, Stage.SHADOW)
    event = tracker.operation(READ).invoked(OLD).build()
    assert (stage, event.detail) == (Stage.SHADOW, EvaluationDetail("shadow", None, {"kind": "OFF"}))


@pytest.mark.parametrize("wrong", ["live", None, 5, Operation.READ], ids=str)
def test_a_default_that_is_no_stage_becomes_off(client, caplog, wrong):
    assert client.migration_variation("no-such-flag", CONTEXT, wrong)[0] is Stage.OFF
    (record,) = caplog.records
    assert record.message == "default stage %s is not a valid stage; using 'off' instead" % (wrong,)
    assert record.levelname == "ERROR"


@pytest.mark.parametrize("configured, stage, error", [
    ("complete", Stage.COMPLETE, "FLAG_NOT_FOUND"),
    ("finished", Stage.SHADOW, "WRONG_TYPE"),
    (5, Stage.SHADOW, "WRONG_TYPE"),
])
def test_a_default_of_the_config_takes_the_place_of_the_callers(make_client, configured, stage, error):
    client = make_client(defaults={"no-such-flag": configured})
    got, tracker = client.migration_variation("no-such-flag", CONTEXT, Stage.SHADOW)
    detail = tracker.operation(READ).invoked(OLD).build().detail
    assert (got, detail.reason["errorKind"]) == (stage, error)


@pytest.mark.parametrize("nobody", [None, {}, {"key": None}, Context.create(""), "u"], ids=str)
def test_nobody_gets_the_default_and_is_not_reported(service, client, nobody, caplog):
    origins = Origins()
    assert origins.migrator(client).read("live", nobody, Stage.RAMPDOWN).origin is NEW
    client.close()
    said = "error generating migration op event provided context was invalid; no event will be emitted"
    assert said in caplog.messages
    assert [event for event in service.events() if event["kind"] == "migration_op"] == []


def test_a_client_that_is_offline_goes_by_the_default():
    client = LDClient(config=ldclient.Config(offline=True))
    origins = Origins()
    migrator = origins.migrator(client, comparison=lambda old, new: old == new)
    assert migrator.read("live", CONTEXT, Stage.SHADOW).origin is OLD
    assert migrator.write("live", CONTEXT, Stage.COMPLETE).authoritative.origin is NEW
    assert sorted(origin.value for origin in origins.called()) == ["new", "new", "old"]


def tracked(client, note, key="live", context=CONTEXT):
    _, tracker = client.migration_variation(key, context, Stage.OFF)
    assert note(tracker) in (tracker, None)
    built = tracker.build()
    client.track_migration_op(tracker)
    return built


@pytest.mark.parametrize("note, problem", [
    (lambda tracker: None, "operation not provided"),
    (lambda tracker: tracker.operation("read").invoked(OLD), "operation not provided"),
    (lambda tracker: tracker.operation(READ), "no origins were invoked"),
    (lambda tracker: tracker.operation(READ).invoked("old"), "no origins were invoked"),
    (lambda tracker: tracker.operation(READ).invoked(OLD).latency(NEW, MS),
     "provided latency for origin 'new' without recording invocation"),
    (lambda tracker: tracker.operation(WRITE).invoked(NEW).latency(OLD, MS),
     "provided latency for origin 'old' without recording invocation"),
    (lambda tracker: tracker.operation(READ).invoked(OLD).error(NEW),
     "provided error for origin 'new' without recording invocation"),
    (lambda tracker: tracker.operation(READ).invoked(NEW).error(OLD),
     "provided error for origin 'old' without recording invocation"),
    (lambda tracker: tracker.operation(READ).invoked(OLD).consistent(lambda: True),
     "provided consistency without recording both invocations"),
    (lambda tracker: tracker.operation(READ).invoked(NEW).consistent(lambda: False),
     "provided consistency without recording both invocations"),
])
def test_what_does_not_add_up_is_named_and_not_reported(service, client, caplog, note, problem):
    assert tracked(client, note) == problem
    client.close()
    assert [event for event in service.events() if event["kind"] == "migration_op"] == []
    (record,) = [record for record in caplog.records if "migration op" in record.message]
    assert record.message == "error generating migration op event %s; no event will be emitted" % problem
    assert record.levelname == "ERROR"


def test_a_step_without_a_flag_key_or_a_context_is_not_reported(client):
    note = lambda tracker: tracker.operation(READ).invoked(OLD)  # noqa: E731
    assert tracked(client, note, key="") == "migration operation cannot contain an empty key"
    assert tracked(client, note, context=Context.create("")) == "provided context was invalid"


def test_what_a_program_notes_is_reported(service, client):
    def note(tracker):
        tracker.operation(READ).invoked(NEW).invoked(OLD).consistent(lambda: True)
        tracker.latency(OLD, timedelta(seconds=2)).latency(NEW, timedelta(microseconds=1500))
        # Neither is what it should be.
        return tracker.latency(OLD, 5).latency("old", MS).error(NEW).error("old")

    event = tracked(client, note)
    assert (event.consistent, event.consistent_ratio) == (True, 1)
    assert event.latencies == {OLD: timedelta(seconds=2), NEW: timedelta(microseconds=1500)}
    client.close()
    assert steps(service)[0]["measurements"] == [
        {"key": "invoked", "values": {"old": True, "new": True}},
        {"key": "consistent", "value": True},
        {"key": "latency_ms", "values": {"old": 2000.0, "new": 1.5}},
        {"key": "error", "values": {"new": True}},
    ]


def test_no_origin_takes_less_than_no_time(client):
    event = tracked(client, lambda tracker: tracker.operation(READ).invoked(OLD).latency(OLD, -MS))
    assert event.latencies == {OLD: timedelta(0)}


@pytest.mark.parametrize("nonsense", [None, 5, "tracker"])
def test_what_is_no_tracker_is_not_reported(client, caplog, nonsense):
    client.track_migration_op(nonsense)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_steps_are_handed_to_an_event_processor_of_the_programs(make_client):
    class Processor:
        def send_event(self, event):
            events.append(event)

        def flush(self):
            pass

        stop = flush

    events = []
    client = make_client(event_processor_class=lambda config: Processor())
    Origins().migrator(client).write("live", CONTEXT, Stage.OFF)
    (step,) = [event for event in events if isinstance(event, MigrationOpEvent)]
    assert (step.key, step.flag["version"], step.operation, step.invoked) == ("live", 7, WRITE, {OLD, NEW})


def test_a_migrator_lacks_nothing(client):
    function = Origins().function("read", OLD)
    assert MigratorBuilder(client).build() == "read configuration not provided"
    assert MigratorBuilder(client).write(function, function).build() == "read configuration not provided"
    assert MigratorBuilder(client).read(function, function).build() == "write configuration not provided"
    assert isinstance(MigratorBuilder(client).read(function, function).write(function, function).build(), Migrator)


def test_an_order_may_be_given_by_its_name_and_nonsense_is_named(client, caplog):
    for order, called in (("serial", [OLD, NEW]), (ExecutionOrder.SERIAL, [OLD, NEW])):
        origins = Origins()
        origins.migrator(client, order=order).read("shadow", CONTEXT, Stage.OFF)
        assert origins.called() == called
    MigratorBuilder(client).read_execution_order("backwards")
    assert caplog.messages == ["'backwards' is not an execution order; using 'parallel'"]


def test_a_migrator_is_shared_by_threads(service, client):
    def work():
        for _ in range(25):
            results.append(migrator.read("live", CONTEXT, Stage.OFF).value)
            results.append(migrator.write("live", CONTEXT, Stage.OFF).nonauthoritative.value)

    results = []
    migrator = Origins().migrator(client, comparison=lambda old, new: old == new)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert results == ["same"] * 400
    client.close()
    assert len(steps(service, 400)) == 400


def test_stages_are_found_by_their_names_and_by_nothing_else():
    assert [Stage.from_str(stage.value) for stage in Stage] == list(Stage)
    assert [Stage.from_str(wrong) for wrong in ("LIVE", "", " live", None, 5, [])] == [None] * 6


def test_results_say_what_came_of_it():
    error = ValueError("v")
    good, bad = Result.success(0), Result.fail("no", error)
    assert (good.is_success(), good.value, good.error, good.exception) == (True, 0, None, None)
    assert (bad.is_success(), bad.value, bad.error, bad.exception) == (False, None, "no", error)
    assert Result.fail("no").exception is None
    first, second = OperationResult(OLD, good), OperationResult(NEW, bad)
    assert (first.origin, first.value, second.origin, second.error) == (OLD, 0, NEW, "no")
    assert isinstance(first, Result) and WriteResult(first).nonauthoritative is None
    assert WriteResult(first, second).nonauthoritative is second
    assert repr(WriteResult(first)) == "WriteResult(OperationResult(Origin.OLD, Result.success(0)), None)"
    config = MigrationConfig(1, 2, 3)
    assert (config.old, config.new, config.comparison) == (1, 2, 3)


def test_the_signatures_are_those_that_programs_know():
    def parameters(function):
        return list(inspect.signature(function).parameters)

    assert parameters(LDClient.migration_variation) == ["self", "key", "context", "default_stage"]
    assert parameters(LDClient.track_migration_op) == ["self", "tracker"]
    for method in (Migrator.read, Migrator.write):
        assert parameters(method) == ["self", "key", "context", "default_stage", "payload"]
    assert parameters(MigratorBuilder.read) == ["self", "old", "new", "comparison"]
    assert parameters(MigratorBuilder.write) == ["self", "old", "new"]
    assert parameters(MigratorBuilder.read_execution_order) == ["self", "order"]
    assert parameters(MigratorBuilder.track_latency) == parameters(MigratorBuilder.track_errors) == ["self", "enabled"]
    assert parameters(OpTracker) == ["key", "flag", "context", "detail", "default_stage"]
    assert parameters(OpTracker.operation) == ["self", "op"]
    assert parameters(OpTracker.invoked) == parameters(OpTracker.error) == ["self", "origin"]
    assert parameters(OpTracker.consistent) == ["self", "is_consistent"]
    assert parameters(OpTracker.latency) == ["self", "origin", "duration"]
    assert parameters(MigrationOpEvent) == [
        "timestamp", "context", "key", "flag", "operation", "default_stage", "detail", "invoked", "consistent",
        "consistent_ratio", "errors", "latencies",
    ]
    assert parameters(Result.success) == ["value"] and parameters(Result.fail) == ["error", "exception"]
    assert parameters(Result) == ["value", "error", "exception"]
    assert parameters(OperationResult) == ["origin", "result"]
    assert parameters(WriteResult) == ["authoritative", "nonauthoritative"]


@pytest.mark.parametrize("name", [
    "ExecutionOrder", "MigrationConfig", "Migrator", "MigratorBuilder", "MigratorCompareFn", "MigratorFn", "OpTracker",
    "Operation", "OperationResult", "Origin", "Result", "Stage", "WriteResult",
])
def test_names_are_in_the_package_too(name):
    assert getattr(ldclient, name) is getattr(ldclient.migrations, name)
    assert name in ldclient.__all__
