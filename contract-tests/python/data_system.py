"""Where flags come from with second-generation delivery, as the FDv2 harness says it."""

from typing import Any, Dict, List

import stores
from ldclient import datasystem
from ldclient.interfaces import DataStoreMode
from parameters import Parameters
from refusals import Bad

#: The harness's number for a store that is not written.
READ_ONLY = 0


def settings(wanted: Parameters) -> Dict[str, Any]:
    """The settings that a data system amounts to."""
    sources = _Sources()
    system = sources.of(wanted)
    fallback = wanted.object("fdv1Fallback")
    if fallback is not None:
        # The polls stand in it, or in its `polling`.
        polling = fallback.object("polling") or fallback
        system.fdv1_compatible_synchronizer(sources.polling(polling, datasystem.fdv1_fallback_ds_builder()))
    store = wanted.object("store")
    database = None if store is None else store.object("persistentDataStore")
    if database is not None:
        read_only = (wanted.number("storeMode") or READ_ONLY) == READ_ONLY
        mode = DataStoreMode.READ_ONLY if read_only else DataStoreMode.READ_WRITE
        system.data_store(stores.store(database), mode)
    return {
        "datasystem_config": system.build(),
        "interval": min(sources.intervals, default=None),
        "payload_filter_key": next(iter(sources.filters), None),
    }


class _Sources:
    """Makes sources. Their interval and filter are the client's: a source has no filter of its own, and does not
    poll as often as the harness wants it to."""

    def __init__(self) -> None:
        self.intervals: List[float] = []
        self.filters: List[str] = []

    def of(self, wanted: Parameters) -> datasystem.ConfigBuilder:
        if wanted.flag("useDefaultDataSystem"):
            return datasystem.default()
        modes = wanted.object("connectionModeConfig")
        return self.listed(wanted) if modes is None else self.of_mode(modes)

    def of_mode(self, modes: Parameters) -> datasystem.ConfigBuilder:
        name = modes.text("initialConnectionMode") or "default"
        custom = Parameters(modes.mapping("customConnectionModes"), "customConnectionModes").object(name)
        if custom is not None:
            return self.listed(custom)
        named = {"default": datasystem.default, "streaming": datasystem.streaming, "polling": datasystem.polling}
        if name not in named:
            raise Bad("there is no connection mode `%s`" % name)
        return named[name]()

    def listed(self, wanted: Parameters) -> datasystem.ConfigBuilder:
        system = datasystem.custom()
        system.initializers([self.initializer(one) for one in wanted.objects("initializers") or []])
        synchronizers = [self.synchronizer(one) for one in wanted.objects("synchronizers") or []]
        return system.synchronizers(*synchronizers) if synchronizers else system

    def initializer(self, wanted: Parameters) -> Any:
        return self.polling(wanted.object("polling", needed=True), datasystem.polling_ds_builder())

    def synchronizer(self, wanted: Parameters) -> Any:
        streaming, polling = wanted.object("streaming"), wanted.object("polling")
        if (streaming is None) == (polling is None):
            raise Bad("a synchronizer is either a stream or a poll")
        return self.streaming(streaming) if polling is None else self.polling(polling, datasystem.polling_ds_builder())

    def polling(self, wanted: Parameters, builder: Any) -> Any:
        interval = wanted.seconds("pollIntervalMs")
        if interval is not None:
            self.intervals.append(interval)
        return self.remote(wanted, builder)

    def streaming(self, wanted: Parameters) -> Any:
        builder = datasystem.streaming_ds_builder()
        delay = wanted.seconds("initialRetryDelayMs")
        if delay is not None:
            builder.initial_reconnect_delay(delay)
        return self.remote(wanted, builder)

    def remote(self, wanted: Parameters, builder: Any) -> Any:
        self.filters.extend(filter(None, [wanted.text("filter")]))
        uri = wanted.given("baseUri")
        return builder if uri is None else builder.base_uri(uri)
