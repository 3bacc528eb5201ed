"""What the drivers of databases were told, in the words of their Python packages, for the native ones."""

import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ldclient.util import log


class RedisOptions(NamedTuple):
    """How Redis is connected to."""

    url: str
    user: Optional[str]
    password: Optional[str]
    link: Dict[str, Any]


class ConsulOptions(NamedTuple):
    """How Consul is connected to."""

    address: str
    token: Optional[str]
    link: Dict[str, Any]


class DynamoDBOptions(NamedTuple):
    """How DynamoDB is connected to."""

    endpoint: Optional[str]
    region: Optional[str]
    credentials: Optional[Tuple[str, str, Optional[str]]]
    link: Dict[str, Any]


class _Options:
    """Options of a driver; what nobody took is warned of."""

    def __init__(self, name: str, options: Optional[Mapping[str, Any]]):
        self.__name = name
        self.__left = {key: value for key, value in (options or {}).items() if value is not None}
        self.__useless: List[str] = []

    def take(self, name: str) -> Any:
        return self.__left.pop(name, None)

    def text(self, name: str) -> Optional[str]:
        value = self.take(name)
        return value.decode() if isinstance(value, bytes) else None if value is None else str(value)

    def seconds(self, name: str) -> Optional[float]:
        value = self.take(name)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            self.useless(name)
            return None

    def useless(self, name: str) -> None:
        self.__useless.append(name)

    def certificates(self, name: str) -> Optional[str]:
        """A file of authorities, where ``True`` stands for the usual ones."""
        value = self.take(name)
        if value is None or value is True:
            return None
        if value is False:
            self.useless(name)
            return None
        return os.fspath(value)

    def warn(self) -> None:
        """Says which options have no effect."""
        names = sorted([*self.__useless, *self.__left])
        if names:
            log.warning("%s: %s cannot be set for the native driver and will be ignored", self.__name, ", ".join(names))


def redis_options(url: str, redis_opts: Optional[Mapping[str, Any]]) -> RedisOptions:
    """What the URL and the options of the package ``redis`` amount to. As there, the URL goes first.

    :param url: where Redis is; options may be its parameters
    :param redis_opts: keyword arguments of a connection pool
    """
    parts = urlsplit(url)
    given = dict(redis_opts or {})
    given.update(parse_qsl(parts.query))
    options = _Options("redis_opts", given)
    scheme, path = parts.scheme, parts.path
    # What it amounts to without being asked for.
    for name in ("decode_responses", "encoding", "encoding_errors"):
        options.take(name)
    if options.take("ssl") in (True, "True", "true", "1") and scheme == "redis":
        scheme = "rediss"
    if options.take("ssl_cert_reqs") in ("none", "optional", 0, 1):
        options.useless("ssl_cert_reqs")
    database = options.text("db")
    query = ""
    if database is not None:
        if scheme == "unix":
            query = "db=" + database
        elif not path.strip("/"):
            path = "/" + database
    link = {
        "ca_file": options.certificates("ssl_ca_certs"),
        "timeout": options.seconds("socket_timeout"),
        "connect_timeout": options.seconds("socket_connect_timeout"),
    }
    if link["connect_timeout"] is None:
        link["connect_timeout"] = link["timeout"]
    user, password = options.text("username"), options.text("password")
    if parts.username:
        user = None
    if parts.password:
        password = None
    if scheme == "unix" and parts.username:
        # The native driver looks for these elsewhere.
        user = unquote(parts.username)
        password = unquote(parts.password) if parts.password else password
    options.warn()
    netloc = "" if scheme == "unix" else parts.netloc
    url = "%s://%s%s%s" % (scheme, netloc, path, "?" + query if query else "")
    return RedisOptions(url, user, password, link)


def without_password(url: str) -> str:
    """A URL that may be logged.

    :param url: any URL
    """
    netloc = urlsplit(url).netloc
    credentials, at, host = netloc.rpartition("@")
    if ":" in credentials:
        url = url.replace(netloc, "%s:xxxx%s%s" % (credentials.split(":", 1)[0], at, host), 1)
    return re.sub(r"(?<=[?&]password=)[^&#]*", "xxxx", url)


def consul_options(
    host: Optional[str], port: Optional[int], consul_opts: Optional[Mapping[str, Any]]
) -> ConsulOptions:
    """What host, port and the options of the package ``python-consul`` amount to.

    :param host: the host; otherwise what the environment says, or this machine
    :param port: the port
    :param consul_opts: keyword arguments of its client
    """
    options = _Options("consul_opts", consul_opts)
    host = options.text("host") or host
    port = options.take("port") or port
    scheme = options.text("scheme")
    address = os.environ.get("CONSUL_HTTP_ADDR") if host is None and port is None else None
    if not address:
        host = host or "127.0.0.1"
        address = "%s:%s" % ("[%s]" % host if ":" in host else host, port or 8500)
    if scheme is None:
        scheme = "https" if os.environ.get("CONSUL_HTTP_SSL", "").lower() in ("true", "1") else "http"
    if "://" not in address:
        address = "%s://%s" % (scheme, address)
    timeout = options.seconds("timeout")
    link = {"ca_file": options.certificates("verify"), "timeout": timeout, "connect_timeout": timeout}
    token = options.text("token") or os.environ.get("CONSUL_HTTP_TOKEN")
    options.warn()
    return ConsulOptions(address, token, link)


def dynamodb_options(dynamodb_opts: Optional[Mapping[str, Any]]) -> DynamoDBOptions:
    """What the options of the package ``boto3`` amount to. What they do not say the environment does.

    :param dynamodb_opts: keyword arguments of its client
    """
    options = _Options("dynamodb_opts", dynamodb_opts)
    config = options.take("config")
    link = {
        "ca_file": options.certificates("verify"),
        "timeout": getattr(config, "read_timeout", None),
        "connect_timeout": getattr(config, "connect_timeout", None),
    }
    endpoint, region = options.text("endpoint_url"), options.text("region_name")
    region = region or getattr(config, "region_name", None)
    key_id, secret = options.text("aws_access_key_id"), options.text("aws_secret_access_key")
    token = options.text("aws_session_token")
    credentials = (key_id, secret, token) if key_id and secret else None
    if credentials is None:
        for name, value in (("aws_access_key_id", key_id), ("aws_secret_access_key", secret)):
            if value is not None:
                options.useless(name)
    if options.take("use_ssl") is False and endpoint is None:
        options.useless("use_ssl")
    # There is one version, and the service is what it is.
    options.take("api_version")
    options.warn()
    return DynamoDBOptions(endpoint, region, credentials, link)
