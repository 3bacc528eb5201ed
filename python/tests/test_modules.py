"""Names that programs import."""

import importlib.metadata
import pickle
import subprocess
import sys

import ldclient
import pytest
from ldclient.evaluation import EvaluationDetail


def test_star_import_leaves_get_and_set_config_out():
    names = {}
    exec("from ldclient import *", names)
    assert "LDClient" in names and "get" not in names and "set_config" not in names
    assert sorted(ldclient.client.__all__) == ["Config", "LDClient"]


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError):
        ldclient.no_such_name


def test_submodules_are_there_right_after_the_import():
    program = "import ldclient; ldclient.config.Config; ldclient.client.LDClient; ldclient.util.log"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_version_is_one():
    assert ldclient.__version__ == ldclient.version.VERSION == importlib.metadata.version("flagstaff-ldclient")


def test_data_kinds_are_keys_with_the_familiar_paths():
    from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind, VersionedDataKindWithOrdering

    assert {FEATURES: 1, SEGMENTS: 2}[SEGMENTS] == 2
    assert (FEATURES.namespace, FEATURES.request_api_path, FEATURES.stream_api_path, FEATURES.priority) == (
        "features", "/sdk/latest-flags", "/flags/", 1,
    )
    assert (SEGMENTS.namespace, SEGMENTS.request_api_path, SEGMENTS.stream_api_path, SEGMENTS.priority) == (
        "segments", "/sdk/latest-segments", "/segments/", 0,
    )
    flag = {"prerequisites": [{"key": "a"}, {"key": "b"}]}
    assert list(FEATURES.get_dependency_keys(flag)) == ["a", "b"]
    assert VersionedDataKind("x", "/x", "/x/").decode({"key": "a"}) == {"key": "a"}
    early = VersionedDataKindWithOrdering("x", "/x", "/x/", 5, len)
    assert (early.priority, early.get_dependency_keys) == (5, len)


def test_partial_implementations_of_interfaces_can_be_made():
    from ldclient.interfaces import FeatureStore, UpdateProcessor

    class Store(FeatureStore):
        def get(self, kind, key, callback=lambda x: x):
            return callback(None)

    assert Store().get(None, "a", lambda item: item is None)
    assert UpdateProcessor().is_alive()


def test_details_compare_print_and_pickle():
    detail = EvaluationDetail("a", 0, {"kind": "FALLTHROUGH"})
    assert detail == EvaluationDetail("a", 0, {"kind": "FALLTHROUGH"})
    assert detail != EvaluationDetail("a", 1, {"kind": "FALLTHROUGH"})
    assert detail != "something else"
    assert str(detail) == repr(detail) == "(value=a, variation_index=0, reason={'kind': 'FALLTHROUGH'})"
    assert pickle.loads(pickle.dumps(detail)) == detail
    assert not detail.is_default_value()
    assert EvaluationDetail("a", None, {}).is_default_value()
    with pytest.raises(AttributeError):
        detail.value = "b"
    with pytest.raises(TypeError):
        hash(detail)
