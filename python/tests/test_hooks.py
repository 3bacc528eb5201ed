"""Hooks around evaluations, and after track."""

import inspect
import threading
import typing

import pytest
from fake_service import TIMEOUT
from ldclient import Config, Context, LDClient, Stage
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata, TrackSeriesContext

CONTEXT = Context.create("u")
USER = {"key": "u", "custom": {"plan": "gold"}}


class Recorder(Hook):
    """Writes down each stage; raises what it is told to."""

    def __init__(self, name="recorder", stages=None, before=None, after=None, track=None):
        self.name = name
        self.stages = [] if stages is None else stages
        self.raised = {"before": before, "after": after, "track": track}

    @property
    def metadata(self):
        return Metadata(self.name)

    def before_evaluation(self, series_context, data):
        self.told("before", series_context, dict(data))
        return {**data, "by": self.name}

    def after_evaluation(self, series_context, data, detail):
        self.told("after", series_context, data, detail)
        return data

    def after_track(self, series_context):
        self.told("track", series_context)

    def told(self, stage, *arguments):
        self.stages.append((stage, self.name, *arguments))
        if self.raised[stage] is not None:
            raise self.raised[stage]

    def order(self):
        return [(stage, name) for stage, name, *_ in self.stages]


@pytest.fixture
def offline():
    """Makes offline clients with hooks."""
    return lambda *hooks, **settings: LDClient(config=Config(offline=True, hooks=list(hooks), **settings))


def test_a_hook_sees_question_and_answer(make_client):
    hook = Recorder()
    client = make_client(hooks=[hook])
    default = object()
    assert client.variation("bool", CONTEXT, default) is True
    (_, _, series, data), (_, _, again, handed_on, detail) = hook.stages
    assert series == EvaluationSeriesContext("bool", CONTEXT, default, "variation", None)
    assert series.default_value is default and series.context is CONTEXT and again is series
    assert data == {} and handed_on == {"by": "recorder"}
    assert detail == EvaluationDetail(True, 0, {"kind": "FALLTHROUGH"})


@pytest.mark.parametrize("given", [{}, {"user": True}])
def test_each_method_is_told_by_its_name(make_client, given):
    hook = Recorder()
    client = make_client(hooks=[hook])
    client.variation("bool", CONTEXT, False)
    detail = client.variation_detail("bool", user=CONTEXT, default=False) if given else (
        client.variation_detail("bool", CONTEXT, False)
    )
    client.migration_variation("bool", CONTEXT, Stage.LIVE)
    assert [series.method for stage, _, series, *_ in hook.stages if stage == "before"] == [
        "variation", "variation_detail", "migration_variation",
    ]
    assert hook.stages[3][4] is detail
    assert hook.stages[4][2].default_value == "live"
    assert hook.stages[5][4] == EvaluationDetail("live", None, {"kind": "ERROR", "errorKind": "WRONG_TYPE"})


def test_stages_after_run_the_other_way_round_and_added_hooks_come_last(offline):
    stages = []
    client = offline(Recorder("a", stages), Recorder("b", stages))
    client.add_hook(Recorder("c", stages))
    client.variation("flag", CONTEXT, None)
    assert Recorder("", stages).order() == [
        ("before", "a"), ("before", "b"), ("before", "c"), ("after", "c"), ("after", "b"), ("after", "a"),
    ]
    # Each is handed on what it gave itself.
    assert [handed_on for stage, _, _, handed_on, *_ in stages if stage == "after"] == [
        {"by": "c"}, {"by": "b"}, {"by": "a"},
    ]


@pytest.mark.parametrize("raised", [ValueError("too bad"), BaseException("too bad")])
@pytest.mark.parametrize("stage", ["before", "after"])
def test_what_a_stage_raises_is_logged_and_harms_nobody(offline, caplog, stage, raised):
    stages = []
    client = offline(Recorder("first", stages), Recorder("bad", stages, **{stage: raised}), Recorder("last", stages))
    assert client.variation("flag", CONTEXT, 5) == 5
    assert len(stages) == 6
    handed_on = {name: data for stage, name, _, data, *_ in stages if stage == "after"}
    assert handed_on == {
        "first": {"by": "first"}, "bad": {} if stage == "before" else {"by": "bad"}, "last": {"by": "last"},
    }
    (record,) = [record for record in caplog.records if "hook" in record.message]
    assert record.message == "An error occurred in %sEvaluation of the hook bad: #too bad" % stage
    assert (record.levelname, record.name) == ("ERROR", "ldclient.util")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("stage", ["before", "after", "track"])
def test_an_interrupt_reaches_the_program_when_all_stages_have_run(make_client, stage, raised):
    stages = []
    client = make_client(hooks=[Recorder("a", stages, **{stage: raised()}), Recorder("b", stages)])
    with pytest.raises(raised):
        client.track("event", CONTEXT) if stage == "track" else client.variation("bool", CONTEXT, False)
    assert len(stages) == 2 if stage == "track" else 4
    client.close()


def test_a_hook_without_a_name_goes_by_its_type(offline, caplog):
    class Nameless(Hook):
        metadata = property(lambda self: 1 / 0)

        def before_evaluation(self, series_context, data):
            raise ValueError("too bad")

    assert offline(Nameless()).variation("flag", CONTEXT, 5) == 5
    assert "An error occurred in beforeEvaluation of the hook Nameless: #too bad" in caplog.messages


def test_a_hook_that_writes_one_stage_only_does(offline):
    class Partial(Hook):
        def after_evaluation(self, series_context, data, detail):
            seen.append((self.metadata.name, data, detail.value))

    seen = []
    assert offline(Partial()).variation("flag", CONTEXT, 5) == 5
    assert seen == [("Partial", {}, 5)]


def test_what_is_no_hook_is_ignored(offline):
    hook = Recorder()
    client = offline(print, hook, None)
    client.add_hook(print)
    client.variation("flag", CONTEXT, 5)
    assert len(hook.stages) == 2


def test_a_client_without_hooks_gets_one_while_it_runs(service, client):
    hook = Recorder()
    assert client.variation("bool", CONTEXT, False) is True
    client.add_hook(hook)
    assert client.variation("bool", CONTEXT, False) is True
    assert len(hook.stages) == 2
    client.close()
    (summary,) = service.wait_for_events(kind="summary")
    assert summary["features"]["bool"]["counters"][0]["count"] == 2


def test_an_evaluation_that_has_begun_goes_on_without_a_hook_that_is_added(offline):
    stages = []

    class Adding(Recorder):
        def before_evaluation(self, series_context, data):
            if len(stages) == 0:
                client.add_hook(Recorder("added", stages))
            return super().before_evaluation(series_context, data)

    client = offline(Adding("first", stages))
    client.variation("flag", CONTEXT, 5)
    assert Recorder("", stages).order() == [("before", "first"), ("after", "first")]
    client.variation("flag", CONTEXT, 5)
    assert len(stages) == 6


def test_a_hook_may_use_the_client(make_client):
    class Asking(Hook):
        def before_evaluation(self, series_context, data):
            if series_context.key == "bool":
                data["off"] = client.variation("off", series_context.context, None)
            return data

        def after_evaluation(self, series_context, data, detail):
            if series_context.key == "bool":
                answers.append((data["off"], client.is_initialized(), client.all_flags_state(CONTEXT).valid))
            return data

    answers = []
    client = make_client(hooks=[Asking()])
    assert client.variation("bool", CONTEXT, False) is True
    assert answers == [("b", True, True)]


def test_user_dictionaries_are_shown_as_the_contexts_they_stand_for(make_client):
    hook = Recorder()
    client = make_client(hooks=[hook])
    user = dict(USER, key=5, name=6, anonymous=True)
    assert client.variation("bool", user, False) is True
    shown = hook.stages[0][2].context
    assert type(shown) is Context and shown.valid
    assert shown.to_dict() == {"key": "5", "kind": "user", "name": "6", "anonymous": True, "plan": "gold"}
    # What decides stays as it was given.
    client.variation("rule", {"key": "u", "custom": {"groups": ["Google"]}}, None)
    assert hook.stages[3][4].value == "yes"


@pytest.mark.parametrize(
    "nobody, said",
    [
        (None, "context key must not be None or empty"),
        ({"key": None}, "context key must not be None or empty"),
        ({"name": "nobody"}, "context key must not be None or empty"),
        (Context.create(""), "context key must not be None or empty"),
        ({"key": "a", "kind": "kind"}, '"kind" is not a valid context kind'),
        ("u", "Cannot use a str as a context"),
    ],
)
def test_hooks_run_for_contexts_that_are_of_no_use(make_client, nobody, said):
    hook = Recorder()
    client = make_client(hooks=[hook])
    assert client.variation("bool", nobody, "d") == "d"
    shown, detail = hook.stages[0][2].context, hook.stages[1][4]
    assert (shown.valid, shown.error) == (False, said)
    assert detail == EvaluationDetail("d", None, {"kind": "ERROR", "errorKind": "USER_NOT_SPECIFIED"})


def test_a_default_of_the_config_is_in_the_answer_and_the_callers_in_the_question(offline):
    hook = Recorder()
    assert offline(hook, defaults={"flag": "configured"}).variation("flag", CONTEXT, "given") == "configured"
    assert (hook.stages[0][2].default_value, hook.stages[1][4].value) == ("given", "configured")


def test_the_reason_is_reported_only_if_the_caller_asks_for_it(service, make_client):
    client = make_client(hooks=[Recorder()])
    client.variation("tracked", CONTEXT, "d")
    client.variation_detail("tracked", CONTEXT, "d")
    client.close()
    plain, detailed = service.wait_for_events(2, kind="feature")
    assert "reason" not in plain and detailed["reason"] == {"kind": "FALLTHROUGH"}


def test_hooks_do_not_run_for_prerequisites_and_all_flags(service, make_client):
    service.flags["parent"] = {
        "key": "parent", "version": 1, "on": True, "variations": ["yes"], "fallthrough": {"variation": 0},
        "prerequisites": [{"key": "bool", "variation": 0}],
    }
    hook = Recorder()
    client = make_client(hooks=[hook])
    assert client.variation("parent", CONTEXT, None) == "yes"
    client.all_flags_state(CONTEXT)
    assert [series.key for _, _, series, *_ in hook.stages] == ["parent", "parent"]


def test_hooks_learn_the_environment_once_the_service_has_said_it(service, make_client):
    service.environment_id = "env-1"
    hook = Recorder()
    client = make_client(hooks=[hook])
    client.variation("bool", CONTEXT, False)
    client.track("event", CONTEXT)
    assert [series.environment_id for _, _, series, *_ in hook.stages] == ["env-1"] * 3


def test_hooks_are_told_of_tracked_events_in_the_order_in_which_they_were_added(make_client):
    stages = []
    client = make_client(hooks=[Recorder("a", stages), Recorder("b", stages)])
    client.track("event", CONTEXT, {"price": 320}, 2.5)
    client.track("event", user=USER)
    told = TrackSeriesContext("event", CONTEXT, {"price": 320}, 2.5, None)
    assert stages[:2] == [("track", "a", told), ("track", "b", told)]
    assert stages[2][2].context["plan"] == "gold" and stages[2][2].data is None


def test_hooks_are_not_told_of_events_that_are_not_tracked(make_client):
    hook = Recorder()
    client = make_client(hooks=[hook])
    client.track("event", None)
    client.track("event", Context.create(""))
    client.close()
    client.track("event", CONTEXT)
    assert hook.stages == []


def test_what_a_stage_after_track_raises_is_logged(offline, caplog):
    client = offline(Recorder("bad", track=ValueError("too bad")))
    client.track("event", CONTEXT)
    assert "An error occurred in afterTrack of the hook bad: #too bad" in caplog.messages


def test_many_threads_evaluate_while_hooks_are_added(make_client):
    class Counting(Hook):
        def before_evaluation(self, series_context, data):
            return {"key": series_context.context.key}

        def after_evaluation(self, series_context, data, detail):
            if data != {"key": series_context.context.key} or detail.value is not True:
                wrong.append((data, detail))
            return data

    def work(number):
        context = Context.create("u%d" % number)
        for _ in range(200):
            if client.variation("bool", context, False) is not True:
                wrong.append(number)
        done.append(number)

    wrong, done = [], []
    client = make_client()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        client.add_hook(Counting())
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(done) == list(range(8)) and wrong == []


def test_hooks_of_the_config_are_kept_when_the_client_is_made_anew_and_others_are_gone(make_client):
    stages = []
    client = make_client(hooks=[Recorder("config", stages)])
    client.add_hook(Recorder("added", stages))
    client.postfork(start_wait=TIMEOUT)
    assert client.variation("bool", CONTEXT, False) is True
    assert Recorder("", stages).order() == [("before", "config"), ("after", "config")]


def test_the_signatures_are_those_that_programs_know():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(LDClient.add_hook) == ["self", "hook"]
    assert names(Hook.before_evaluation) == ["self", "series_context", "data"]
    assert names(Hook.after_evaluation) == ["self", "series_context", "data", "detail"]
    assert names(EvaluationSeriesContext) == ["key", "context", "default_value", "method", "environment_id"]
    assert names(Metadata) == ["name"]
    assert typing.get_type_hints(Hook.before_evaluation)["return"] is dict
    assert isinstance(vars(Hook)["metadata"], property)
