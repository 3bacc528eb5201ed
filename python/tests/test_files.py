"""Flags from files."""

import os
import threading
import time
import warnings
from pathlib import Path

import pytest
from fake_service import TIMEOUT
from ldclient import Config, LDClient
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.file_data_source import FileDataSource
from ldclient.integrations import Files
from ldclient.interfaces import DataSourceErrorKind, DataSourceState
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from waiting import eventually

USER = {"key": "u"}

JSON = """{
  "flags": {"f": {"key": "f", "on": true, "variations": ["a", "b"], "fallthrough": {"variation": 1},
                  "rules": [{"id": "r", "variation": 0, "clauses": [
                    {"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]}},
  "flagValues": {"v": {"rows": 20}},
  "segments": {"s": {"included": ["in"]}}
}"""

YAML = """
flags:
  f: &base
    on: true
    variations: [a, b]
    fallthrough: {variation: 1}
  g:
    <<: *base
    fallthrough: {variation: 0}
flagValues:
  v: 20
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="flags"):
        # As editors do: another file takes the place of the first.
        path, new = tmp_path / name, tmp_path / (name + ".new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.replace(new, path)
        return str(path)

    return write


@pytest.fixture
def make(request):
    def make(paths, start_wait=TIMEOUT, **options):
        source = Files.new_data_source(paths, **options)
        config = Config("sdk-test", update_processor_class=source, send_events=False)
        client = LDClient(config=config, start_wait=start_wait)
        request.addfinalizer(client.close)
        return client

    return make


def unable(caplog):
    return [one.getMessage() for one in caplog.records if one.getMessage().startswith("Unable to load flag data")]


def test_json_is_read(make, write):
    client = make(write(JSON))
    assert client.is_initialized()
    assert client.variation("f", USER, None) == "b" and client.variation("f", {"key": "in"}, None) == "a"
    assert client.variation("v", USER, None) == {"rows": 20}
    assert client.variation_detail("v", USER, None).reason == {"kind": "FALLTHROUGH"}
    assert client.data_source_status_provider.status.state == DataSourceState.VALID


def test_yaml_is_read(make, write):
    client = make(write(YAML))
    assert [client.variation(key, USER, None) for key in "fgv"] == ["b", "a", 20]


def test_several_files_are_read_together(make, write):
    paths = [Path(write(JSON, "one")), write('{"flagValues": {"w": 1}}', "two")]
    assert make(paths).all_flags_state(USER).to_values_map() == {"f": "b", "v": {"rows": 20}, "w": 1}
    assert make(Path(write('{"flagValues": {"w": 2}}', "two"))).variation("w", USER, None) == 2


def test_items_get_the_key_and_the_version_that_they_lack(write):
    store, ready = InMemoryFeatureStore(), threading.Event()
    source = Files.new_data_source(write(JSON))(Config("sdk-test"), store, ready)
    source.start()
    assert ready.is_set() and source.initialized()
    assert (store.get(FEATURES, "f")["version"], store.get(FEATURES, "f")["key"]) == (1, "f")
    assert store.get(SEGMENTS, "s") == {"key": "s", "version": 1, "included": ["in"]}
    assert store.get(FEATURES, "v") == {
        "key": "v", "version": 1, "on": True, "variations": [{"rows": 20}], "fallthrough": {"variation": 0}}
    source.stop()


@pytest.mark.parametrize(
    ["text", "said"],
    [
        ("{", "EOF"),
        ("", "it is empty"),
        (b"\xff\xfe", "UTF-8"),
        ("[1]", "an object"),
        ('{"flags": {"f": 5}}', "'f' in 'features' is no object"),
        ('{"flags": {"f": {"variations": 5}}}', "'f' in 'features'"),
        ('{"flagValues": {"v": 1, "v": 2}}', "key 'v' is in 'features' twice"),
        ('{"flags": {"v": {}}, "flagValues": {"v": 1}}', "key 'v' is in 'features' twice"),
        ('{"flagValues": {"good": 1}}', "key 'good' is in 'features' twice"),
        ('{"segments": {"s": {}, "s": {}}}', "key 's' is in 'segments' twice"),
        ("flags:\n  - a\n", "items by key"),
    ],
)
def test_nothing_is_used_if_anything_is_wrong(make, write, caplog, capfd, text, said):
    good, bad = write('{"flagValues": {"good": 1}}', "good"), write(text, "bad")
    client = make([good, bad])
    assert not client.is_initialized()
    assert client.variation_detail("good", USER, 0).reason["errorKind"] == "CLIENT_NOT_READY"
    [message] = unable(caplog)
    assert message.startswith('Unable to load flag data from "%s": ValueError(' % bad) and said in message
    assert "Traceback" in capfd.readouterr().err
    status = client.data_source_status_provider.status
    assert (status.state, status.error.kind) == (DataSourceState.INITIALIZING, DataSourceErrorKind.INVALID_DATA)


def test_a_file_that_is_not_there_is_named_and_the_constructor_released(make, caplog):
    started = time.monotonic()
    assert not make("/no/such/file").is_initialized()
    assert time.monotonic() - started < TIMEOUT / 2
    assert unable(caplog) == [
        "Unable to load flag data from \"/no/such/file\": FileNotFoundError(2, 'No such file or directory')"
    ]


def test_files_that_change_are_read_again(make, write, caplog):
    path = write('{"flagValues": {"v": 1, "w": 1}}')
    client = make(path, auto_update=True, poll_interval=0.02)
    changed = threading.Semaphore(0)
    client.flag_tracker.add_flag_value_change_listener("v", USER, lambda change: changed.release())
    write('{"flagValues": {"v": 2}}')
    assert changed.acquire(timeout=TIMEOUT)
    assert client.all_flags_state(USER).to_values_map() == {"v": 2}
    write('{"flagValues": {"v": ')
    eventually(lambda: unable(caplog))
    assert client.variation("v", USER, None) == 2 and client.is_initialized()
    eventually(lambda: client.data_source_status_provider.status.state == DataSourceState.INTERRUPTED)
    write('{"flagValues": {"v": 3}}')
    eventually(lambda: client.variation("v", USER, None) == 3)
    eventually(lambda: client.data_source_status_provider.status.state == DataSourceState.VALID)


def test_a_file_that_comes_later_initializes_the_client(make, write, tmp_path, caplog):
    client = make(str(tmp_path / "flags"), auto_update=True, poll_interval=0.02, force_polling=True)
    assert not client.is_initialized()
    write('{"flagValues": {"v": 1}}')
    eventually(client.is_initialized)
    assert client.variation("v", USER, None) == 1


def test_without_auto_update_files_are_read_once(make, write):
    client = make(write('{"flagValues": {"v": 1}}'), poll_interval=0.01)
    write('{"flagValues": {"v": 2}}')
    time.sleep(0.1)
    assert client.variation("v", USER, None) == 1


def test_closing_ends_the_watch(make, write):
    client = make(write('{"flagValues": {"v": 1}}'), auto_update=True, poll_interval=0.01)
    watching = [one for one in threading.enumerate() if one.name == "ldclient.datasource.files"]
    assert len(watching) == 1
    client.close()
    watching[0].join(TIMEOUT)
    assert not watching[0].is_alive()


def test_the_earlier_name_works_and_warns(write):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        factory = FileDataSource.factory(paths=[write(YAML)], auto_update=False)
    assert [one.category for one in warned] == [DeprecationWarning] and warned[0].filename == __file__
    store, ready = InMemoryFeatureStore(), threading.Event()
    factory(Config("sdk-test"), store, ready).start()
    assert sorted(store.all(FEATURES)) == ["f", "g", "v"]


def test_the_second_generation_is_a_source_of_a_data_system(write, request):
    from ldclient import datasystem

    path = write('{"flagValues": {"v": 1}}')
    files = Files.new_data_source_v2([path], poll_interval=0.02)
    system = datasystem.custom().initializers([files]).synchronizers(files).build()
    client = LDClient(config=Config("sdk-test", datasystem_config=system, send_events=False))
    request.addfinalizer(client.close)
    assert client.variation("v", USER, None) == 1
    write('{"flagValues": {"v": 2}}')
    eventually(lambda: client.variation("v", USER, None) == 2)
