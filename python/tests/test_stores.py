"""Redis, Consul and DynamoDB, the real ones: by hand, and behind a client."""

import base64
import json
import logging
import warnings
from pathlib import Path

import pytest

from ldclient import Config, Context, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import Consul, DynamoDB, Redis
from ldclient.integrations.test_data import TestData
from ldclient.interfaces import DataStoreStatus
from ldclient.redis_feature_store import RedisFeatureStore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from servers import TABLE, consul, dynamodb, free_port, redis, redis_server
from test_python_stores import flag
from waiting import eventually

USER = Context.create("user-1")
#: A certificate for `localhost`, and the authority that signed it.
TLS = Path(__file__).parents[2] / "crates" / "flagstaff-sdk" / "tests" / "it" / "tls"


class Patient:
    """What ``botocore.config.Config`` says: Amazon's local edition is slow at first."""

    connect_timeout = 20
    read_timeout = 20


def dynamodb_opts(port):
    return {"endpoint_url": "http://127.0.0.1:%d" % port, "region_name": "us-east-1", "config": Patient(),
            "aws_access_key_id": "dummy", "aws_secret_access_key": "dummy"}


@pytest.fixture(params=["redis", "consul", "dynamodb"])
def new_store(request):
    """Makes stores of one prefix in each of the databases."""
    port = request.getfixturevalue(request.param + "_port")
    prefix = request.node.name

    def make(caching=CacheConfig.disabled(), prefix=prefix):
        if request.param == "redis":
            return Redis.new_feature_store("redis://127.0.0.1:%d" % port, prefix, caching=caching)
        if request.param == "consul":
            return Consul.new_feature_store("127.0.0.1", port, prefix, caching=caching)
        return DynamoDB.new_feature_store(TABLE, prefix, dynamodb_opts(port), caching)

    return make


def test_a_store_keeps_what_it_is_given(new_store):
    store = new_store()
    assert isinstance(store, CachingStoreWrapper) and not store.initialized
    assert store.get(FEATURES, "f") is None and store.all(FEATURES) == {}
    segment = {"key": "s", "version": 1, "included": ["ü"]}
    store.init({FEATURES: {"f": flag("f", 1.5), "g": flag("g")}, SEGMENTS: {"s": segment}})
    assert store.initialized and new_store().initialized
    assert store.get(FEATURES, "f") == flag("f", 1.5)
    assert store.get(FEATURES, "f", lambda item: item["version"]) == 1
    assert store.get(SEGMENTS, "s", lambda item: item) == segment
    assert store.all(FEATURES, sorted) == ["f", "g"]

    store.upsert(FEATURES, flag("f", "newer", 5))
    store.upsert(FEATURES, flag("f", "older", 4))
    assert store.get(FEATURES, "f")["variations"][0] == "newer"
    store.delete(FEATURES, "g", 1)
    assert store.get(FEATURES, "g") is not None, "as new as the deletion"
    store.delete(FEATURES, "g", 2)
    assert store.get(FEATURES, "g") is None and set(store.all(FEATURES)) == {"f"}
    store.upsert(FEATURES, flag("g", "late", 2))
    assert store.get(FEATURES, "g") is None

    store.init({FEATURES: {}, SEGMENTS: {}})
    assert store.all(FEATURES) == {} and store.all(SEGMENTS) == {}
    assert store.is_monitoring_enabled() and store.is_available()


def test_a_store_reads_again_only_when_its_time_is_over(new_store):
    store, other = new_store(CacheConfig(expiration=60)), new_store()
    other.init({FEATURES: {"f": flag("f")}, SEGMENTS: {}})
    assert store.get(FEATURES, "f")["version"] == 1
    other.upsert(FEATURES, flag("f", version=2))
    assert store.get(FEATURES, "f")["version"] == 1
    assert other.get(FEATURES, "f")["version"] == 2


def test_a_client_fills_its_store_and_another_reads_it(new_store, make_client, service):
    writer = make_client(feature_store=new_store())
    assert writer.variation("bool", USER, "d") is True
    assert new_store().get(FEATURES, "bool")["version"] == 7

    name = new_store()._core.describe_configuration(None)
    reader = make_client(feature_store=new_store(), use_ldd=True, diagnostic_opt_out=False)
    assert reader.is_initialized() and reader.variation("list", USER, None) == [1, 1.5, {"deep": [None, "ü"]}]
    assert reader.all_flags_state(USER).to_values_map()["tracked"] == "x"
    assert reader.variation_detail("nowhere", USER, 0).reason["errorKind"] == "FLAG_NOT_FOUND"
    service.wait_for(lambda: service.received("POST", "/diagnostic"))
    report = service.received("POST", "/diagnostic")[0]["json"]["configuration"]
    assert (report["dataStoreType"], report["usingRelayDaemon"]) == (name, True)

    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: reader.variation("bool", USER, "d") is False)


def test_evaluations_do_not_pass_by_python(redis_port, make_client, monkeypatch):
    store = Redis.new_feature_store("redis://127.0.0.1:%d" % redis_port, "not by python")
    monkeypatch.setattr(CachingStoreWrapper, "get", None)
    client = make_client(feature_store=store)
    assert client.variation("bool", USER, "d") is True
    assert client.data_store_status_provider.is_monitoring_enabled()
    assert client.data_store_status_provider.status == DataStoreStatus(True, False)


def test_what_a_data_source_of_the_program_s_own_brings_counts_at_once_and_is_written(redis_port):
    data = TestData.data_source()
    data.update(data.flag("f").variations("a", "b").fallthrough_variation(0))
    store = Redis.new_feature_store("redis://127.0.0.1:%d" % redis_port, "own source", caching=CacheConfig(600))
    config = Config("sdk-test", feature_store=store, update_processor_class=data, send_events=False)
    with LDClient(config=config) as client:
        assert client.is_initialized() and client.variation("f", USER, "d") == "a"
        assert json.loads(redis(redis_port, "HGET", "own source:features", "f"))["version"] == 1
        data.update(data.flag("f").fallthrough_variation(1))
        assert client.variation("f", USER, "d") == "b"
        eventually(lambda: json.loads(redis(redis_port, "HGET", "own source:features", "f"))["version"] == 2)


def test_a_subclass_with_a_get_of_its_own_is_asked(redis_port, make_client):
    class Override(CachingStoreWrapper):
        def get(self, kind, key, callback=lambda x: x):
            return callback(flag(key, "overridden")) if key == "bool" else super().get(kind, key, callback)

    known = Redis.new_feature_store("redis://127.0.0.1:%d" % redis_port, "override")
    client = make_client(feature_store=Override(known._core, CacheConfig.default()))
    assert client.variation("bool", USER, "d") == "overridden"
    assert client.variation("off", USER, "d") == "b"


def test_the_layout_in_redis(redis_port):
    store = Redis.new_feature_store("redis://127.0.0.1:%d/3" % redis_port)
    store.init({FEATURES: {"f": flag("f")}, SEGMENTS: {"s": {"key": "s", "version": 4}}})
    store.delete(FEATURES, "g", 2)

    def ask(*command):
        return redis(redis_port, *command, database=3)

    assert sorted(ask("KEYS", "*")) == ["launchdarkly:$inited", "launchdarkly:features", "launchdarkly:segments"]
    assert json.loads(ask("HGET", "launchdarkly:features", "f")) == flag("f")
    assert json.loads(ask("HGET", "launchdarkly:features", "g")) == {"key": "g", "version": 2, "deleted": True}
    assert json.loads(ask("HGET", "launchdarkly:segments", "s")) == {"key": "s", "version": 4}


def test_what_others_wrote_to_redis_is_read(redis_port, make_client):
    redis(redis_port, "HSET", "others:features", "f", json.dumps(flag("f", "from elsewhere")))
    redis(redis_port, "SET", "others:$inited", "")
    store = Redis.new_feature_store("redis://127.0.0.1:%d" % redis_port, "others")
    client = make_client(feature_store=store, use_ldd=True)
    assert client.variation("f", USER, "d") == "from elsewhere"


def test_the_layout_in_consul(consul_port):
    store = Consul.new_feature_store(port=consul_port, prefix="layout")
    store.init({FEATURES: {"f": flag("f")}, SEGMENTS: {"s": {"key": "s", "version": 4}}})
    found = {one["Key"]: base64.b64decode(one["Value"] or "") for one in consul(consul_port, "kv/layout?recurse")}
    assert set(found) == {"layout/$inited", "layout/features/f", "layout/segments/s"}
    assert json.loads(found["layout/features/f"]) == flag("f")


def test_the_layout_in_dynamodb(dynamodb_port):
    DynamoDB.new_feature_store(TABLE, "layout", dynamodb_opts(dynamodb_port)).init({FEATURES: {"f": flag("f")}})
    DynamoDB.new_feature_store(TABLE, None, dynamodb_opts(dynamodb_port)).init({FEATURES: {}})

    def item(namespace, key):
        place = {"namespace": {"S": namespace}, "key": {"S": key}}
        return dynamodb(dynamodb_port, "GetItem", TableName=TABLE, Key=place).get("Item")

    known = item("layout:features", "f")
    assert known["version"] == {"N": "1"} and json.loads(known["item"]["S"]) == flag("f")
    assert item("layout:$inited", "layout:$inited") and item("$inited", "$inited")


@pytest.mark.parametrize("url, shown", [
    ("redis://localhost:1/0", "redis://localhost:1/0"),
    ("redis://:s3cret@localhost:1/0", "redis://:xxxx@localhost:1/0"),
    ("rediss://someone:s3cret@localhost:1", "rediss://someone:xxxx@localhost:1"),
    ("unix:///nowhere.sock?db=1&password=s3cret", "unix:///nowhere.sock?db=1&password=xxxx"),
])
def test_passwords_are_not_logged(caplog, url, shown):
    caplog.set_level(logging.DEBUG)
    store = Redis.new_feature_store(url, "p")
    assert caplog.messages == ["Started RedisFeatureStore connected to URL: %s using prefix: p" % shown]
    with pytest.raises(RuntimeError) as raised:
        store.get(FEATURES, "f")
    assert "s3cret" not in caplog.text and "s3cret" not in str(raised.value)
    assert not store.is_available()


@pytest.mark.parametrize("path, opts", [
    ("/4", {}), ("", {"db": 4}), ("?db=4", {}), ("/4", {"db": 9}), ("?db=4", {"db": 9}),
    ("/4", {"password": None, "username": None, "decode_responses": True, "socket_timeout": 20}),
])
def test_options_of_the_redis_package_are_understood(redis_port, caplog, path, opts):
    prefix = "opts %s %s" % (path, sorted(opts))
    Redis.new_feature_store("redis://127.0.0.1:%d%s" % (redis_port, path), prefix, redis_opts=opts).init({})
    assert redis(redis_port, "EXISTS", prefix + ":$inited", database=4) == 1
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("make, warning", [
    (lambda: Redis.new_feature_store(redis_opts={"health_check_interval": 3, "client_name": "a"}),
     "redis_opts: client_name, health_check_interval cannot be set for the native driver and will be ignored"),
    (lambda: Redis.new_feature_store("rediss://localhost", redis_opts={"ssl_cert_reqs": "none"}),
     "redis_opts: ssl_cert_reqs cannot be set for the native driver and will be ignored"),
    (lambda: Redis.new_feature_store(max_connections=3),
     "max_connections is not supported and will be ignored: connections are opened as they are needed"),
    (lambda: Consul.new_feature_store(consul_opts={"dc": "a", "verify": False, "token": "t"}),
     "consul_opts: dc, verify cannot be set for the native driver and will be ignored"),
    (lambda: DynamoDB.new_feature_store("t", dynamodb_opts={"aws_access_key_id": "a", "endpoint_url": "http://a"}),
     "dynamodb_opts: aws_access_key_id cannot be set for the native driver and will be ignored"),
])
def test_what_cannot_be_set_is_said(caplog, make, warning):
    make()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [warning]


def test_a_password_among_the_options_signs_in():
    server = redis_server()
    try:
        redis(server.port, "CONFIG", "SET", "requirepass", "s3cret/päss")
        url = "redis://127.0.0.1:%d" % server.port
        for store in (
            Redis.new_feature_store(url, redis_opts={"password": "s3cret/päss"}),
            Redis.new_feature_store(url, redis_opts={"username": "default", "password": b"s3cret/p\xc3\xa4ss"}),
            Redis.new_feature_store("redis://:s3cret%%2Fp%%C3%%A4ss@127.0.0.1:%d" % server.port),
            Redis.new_feature_store("redis://:s3cret%%2Fp%%C3%%A4ss@127.0.0.1:%d" % server.port,
                                    redis_opts={"password": "not this"}),
        ):
            assert store.initialized is False and store.is_available()
        with pytest.raises(RuntimeError):
            Redis.new_feature_store(url).initialized
    finally:
        server.stop()


def test_tls_with_authorities_of_the_program_s_own():
    tls_port = free_port()
    server = redis_server(
        None, "--tls-port", str(tls_port), "--tls-auth-clients", "no", "--tls-cert-file", str(TLS / "localhost.pem"),
        "--tls-key-file", str(TLS / "localhost.key"), "--tls-ca-cert-file", str(TLS / "authority.pem"))
    try:
        authorities = {"ssl_ca_certs": str(TLS / "authority.pem")}
        secure = "rediss://localhost:%d" % tls_port
        assert Redis.new_feature_store(secure, redis_opts=authorities).is_available()
        assert Redis.new_feature_store(secure + "?ssl_ca_certs=" + authorities["ssl_ca_certs"]).is_available()
        plain = "redis://localhost:%d" % tls_port
        assert Redis.new_feature_store(plain, redis_opts={"ssl": True, **authorities}).is_available()
        assert not Redis.new_feature_store(secure).is_available(), "nobody it knows signed that"
        assert not Redis.new_feature_store(plain, redis_opts=authorities).is_available()
    finally:
        server.stop()


def test_redis_behind_a_socket_in_the_file_system(tmp_path):
    path = str(tmp_path / "redis.sock")
    server = redis_server(None, "--unixsocket", path)
    try:
        for store, database in (
            (Redis.new_feature_store("unix://%s?db=2" % path, "a"), 2),
            (Redis.new_feature_store("unix://" + path, "b", redis_opts={"db": 3}), 3),
        ):
            store.init({FEATURES: {"f": flag("f")}, SEGMENTS: {}})
            assert redis(server.port, "KEYS", "*:$inited", database=database) == [store._core.prefix + ":$inited"]
        redis(server.port, "CONFIG", "SET", "requirepass", "s3cret")
        assert Redis.new_feature_store("unix://%s?password=s3cret" % path).is_available()
        assert Redis.new_feature_store("unix://default:s3cret@" + path).is_available()
        assert not Redis.new_feature_store("unix://" + path).is_available()
    finally:
        server.stop()


def test_consul_is_where_the_environment_says(consul_port, monkeypatch):
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:%d" % consul_port)
    assert Consul.new_feature_store(prefix="environment").is_available()
    assert not Consul.new_feature_store(host="127.0.0.1", port=1).is_available()


def test_the_class_of_old_is_the_same_store(redis_port, make_client):
    with pytest.warns(DeprecationWarning):
        store = RedisFeatureStore("redis://127.0.0.1:%d" % redis_port, "old class", 16, 30, 500)
    assert store.core is store._core
    assert make_client(feature_store=store).variation("bool", USER, "d") is True
    assert redis(redis_port, "HEXISTS", "old class:features", "bool") == 1


def test_an_outage_is_told_and_ends(make_client, service):
    server = redis_server()
    client = make_client(feature_store=Redis.new_feature_store("redis://127.0.0.1:%d" % server.port))
    provider = client.data_store_status_provider
    statuses = []
    provider.add_listener(statuses.append)
    server.stop()
    service.patch("bool", on=False, offVariation=1)
    eventually(lambda: client.variation("bool", USER, "d") is False)
    eventually(lambda: statuses)
    assert statuses[0].available is False and provider.status.available is False
    assert client.variation("off", USER, "d") == "b", "memory answers"


def test_a_client_that_cannot_connect_serves_what_the_store_has(redis_port, make_client, service, caplog):
    store = Redis.new_feature_store("redis://127.0.0.1:%d" % redis_port, "left over")
    store.init({FEATURES: {"f": flag("f")}, SEGMENTS: {}})
    service.status = 503
    client = make_client(start_wait=0.5, feature_store=store)
    eventually(client.is_initialized)
    assert client.variation("f", USER, "d") == "value" and client.variation("f", USER, "d") == "value"
    assert [message for message in caplog.messages if "last known values" in message] == [
        "Feature Flag evaluation attempted before client has initialized - using last known values "
        "from feature store for feature key: f. This message is logged once."
    ]


def test_no_driver_is_needed_and_nothing_is_connected_to_beforehand():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Redis.new_big_segment_store()
        DynamoDB.new_big_segment_store("t")
        Redis.new_feature_store(prefix=None)
    with LDClient(config=Config("sdk-a", offline=True, feature_store=Redis.new_feature_store())) as client:
        assert client.variation("f", USER, "d") == "d"
