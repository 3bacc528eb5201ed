"""Programs of both eras, side by side."""

import ldclient
import pytest
from ldclient import Config, Context, LDClient
from ldclient.evaluation import EvaluationDetail as ED
from ldclient.flag import EvaluationDetail


def test_a_program_of_version_6(service, singleton):
    singleton.set_config(Config(sdk_key="SDK", connect_timeout=5, send_events=False, **service.uris()))
    c = singleton.get()
    assert c.variation("bool", {"key": 5, "custom": {"groups": ["Google", "Microsoft"]}}, False) is True
    assert c.variation("bool", user={"key": "u"}, default=False) is True
    assert c.variation_detail("nope", {"key": "u"}, "d").reason == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}
    with pytest.warns(DeprecationWarning):
        assert c.all_flags({"key": "u"})["bool"] is True
    assert c.all_flags_state({"key": "u"}).to_json_dict()["$valid"] is True
    c.track("Completed purchase", {"key": "u"}, {"price": 320})
    c.identify({"key": "u"})
    c.flush()
    singleton.set_sdk_key("OTHER")
    assert singleton.get() is not c and singleton.get().get_sdk_key() == "OTHER"
    singleton.get().close()


def test_a_program_of_before_version_4(singleton):
    ldclient.config = Config(offline=True)
    ldclient.sdk_key = "SDK"
    assert ldclient.get().variation("any.feature.flag", {"key": "u"}, False) is False
    assert ldclient.get().is_offline()
    assert LDClient("SDK", Config(offline=True)).is_offline()


def test_a_program_of_version_9(service):
    assert ED is EvaluationDetail
    ctx = Context.builder("user-key").name("User One").set("plan", "gold").private("plan").build()
    config = Config("SDK", send_events=False, diagnostic_opt_out=True, **service.uris())
    with LDClient(config, start_wait=20) as c9:
        assert c9.variation("bool", ctx, False) is True
        assert c9.variation("bool", context=Context.create("org-key", "org"), default=False) is True
        assert c9.data_source_status_provider.status.state.name == "VALID"
    assert c9.data_source_status_provider.status.state.name == "OFF"
