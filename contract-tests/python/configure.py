"""A configuration of the SDK from the harness's, and the client it starts."""

from typing import Any, Dict, Optional

import data_system
import stores
from big_segments import big_segments
from hooks import hooks
from ldclient import Config, LDClient
from ldclient.config import HTTPConfig
from parameters import Parameters
from refusals import Failed

DEFAULT_START_WAIT = 5


class FastConfig(Config):
    """A config whose polls may come as often as the harness wants them, which is more often than is good."""

    def __init__(self, *arguments: Any, interval: Optional[float] = None, **settings: Any):
        super().__init__(*arguments, **settings)
        self.__interval = interval

    @property
    def poll_interval(self) -> Any:
        return super().poll_interval if self.__interval is None else self.__interval


def start(wanted: Parameters) -> LDClient:
    """Starts a client and waits for its flags, as the harness wants it."""
    wait = wanted.seconds("startWaitTimeMs") or DEFAULT_START_WAIT
    client = LDClient(config=_config(wanted), start_wait=wait)
    if client.is_initialized() or wanted.flag("initCanFail"):
        return client
    status = client.data_source_status_provider.status
    client.close()
    raise Failed("the client was not ready in time: %r" % (status,))


def _config(wanted: Parameters) -> Config:
    streaming, polling = wanted.object("streaming"), wanted.object("polling")
    settings: Dict[str, Any] = {"diagnostic_opt_out": True}
    endpoints = wanted.object("serviceEndpoints")
    if endpoints is not None:
        settings["stream_uri"] = endpoints.given("streaming")
        settings["base_uri"] = endpoints.given("polling")
        settings["events_uri"] = endpoints.given("events")
    if streaming is not None:
        settings.update(_present({
            "stream_uri": streaming.given("baseUri"),
            "initial_reconnect_delay": streaming.seconds("initialRetryDelayMs"),
            "payload_filter_key": streaming.text("filter"),
        }))
    if polling is not None:
        settings.update(_present({"base_uri": polling.given("baseUri"), "interval": polling.seconds("pollIntervalMs")}))
    if polling is not None and streaming is None:
        settings["stream"] = False
        settings.update(_present({"payload_filter_key": polling.text("filter")}))
    settings.update(_events(wanted.object("events")))
    tags = wanted.object("tags")
    if tags is not None:
        name, version = tags.text("applicationId"), tags.text("applicationVersion")
        settings["application"] = _present({"id": name, "version": version})
    wrapper = wanted.object("wrapper")
    if wrapper is not None:
        settings.update(wrapper_name=wrapper.given("name"), wrapper_version=wrapper.given("version"))
    settings["http"] = _http(wanted.object("proxy"), wanted.object("tls"))
    settings["hooks"] = hooks(wanted.object("hooks"))
    settings["big_segments"] = big_segments(wanted.object("bigSegments"))
    store = wanted.object("persistentDataStore")
    if store is not None:
        settings["feature_store"] = stores.store(store)
        settings["use_ldd"] = streaming is None and polling is None
    system = wanted.object("dataSystem")
    if system is not None:
        settings.update(data_system.settings(system))
    return FastConfig(wanted.text("credential") or "", **settings)


def _events(wanted: Optional[Parameters]) -> Dict[str, Any]:
    if wanted is None:
        return {"send_events": False}
    settings = {
        "send_events": True,
        "diagnostic_opt_out": not wanted.flag("enableDiagnostics"),
        "all_attributes_private": wanted.flag("allAttributesPrivate"),
        "omit_anonymous_contexts": wanted.flag("omitAnonymousContexts"),
        "enable_event_compression": wanted.flag("enableGzip"),
        "private_attributes": wanted.texts("globalPrivateAttributes"),
    }
    optional = {
        "events_uri": wanted.given("baseUri"),
        "events_max_pending": wanted.number("capacity") or None,
        "flush_interval": wanted.seconds("flushIntervalMs") or None,
    }
    return {**settings, **_present(optional)}


def _http(proxy: Optional[Parameters], tls: Optional[Parameters]) -> HTTPConfig:
    return HTTPConfig(
        http_proxy=None if proxy is None else proxy.given("httpProxy"),
        ca_certs=None if tls is None else tls.given("customCAFile"),
        disable_ssl_verification=tls is not None and tls.flag("skipVerifyPeer"),
    )


def _present(settings: Dict[str, Any]) -> Dict[str, Any]:
    """What is there of some settings."""
    return {name: value for name, value in settings.items() if value is not None}
