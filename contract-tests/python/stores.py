"""Databases of flags, by the names that the harness gives them."""

import math
from typing import Optional

from ldclient.feature_store import CacheConfig
from ldclient.integrations import Consul, DynamoDB, Redis
from ldclient.interfaces import FeatureStore
from parameters import Parameters
from refusals import Bad

#: The table that the harness fills.
TABLE = "sdk-contract-tests"


def store(wanted: Parameters) -> FeatureStore:
    """The store of a configuration's ``persistentDataStore``."""
    database = wanted.object("store", needed=True)
    caching = _caching(wanted.object("cache"))
    kind, prefix, dsn = database.text("type", needed=True), database.given("prefix"), database.given("dsn")
    if kind == "redis":
        return Redis.new_feature_store(url=dsn or "redis://localhost:6379", prefix=prefix, caching=caching)
    if kind == "consul":
        host, _, port = (dsn or "localhost:8500").partition(":")
        return Consul.new_feature_store(host=host, port=int(port), prefix=prefix, caching=caching)
    if kind == "dynamodb":
        options = {
            "endpoint_url": dsn or "http://localhost:8000",
            "region_name": "us-east-1",
            "aws_access_key_id": "dummy",
            "aws_secret_access_key": "dummy",
        }
        return DynamoDB.new_feature_store(TABLE, prefix=prefix, dynamodb_opts=options, caching=caching)
    raise Bad("there is no store `%s`" % kind)


def _caching(wanted: Optional[Parameters]) -> CacheConfig:
    if wanted is None:
        return CacheConfig.default()
    mode, seconds = wanted.text("mode", needed=True), wanted.number("ttl")
    if mode == "off":
        return CacheConfig.disabled()
    if mode == "infinite":
        return CacheConfig(expiration=math.inf)
    if mode == "ttl" and seconds is not None:
        return CacheConfig(expiration=seconds)
    raise Bad("there is no cache mode `%s` with the ttl %r" % (mode, seconds))
