"""Another way to say where flags come from and are kept: sources that take over from one another.

.. code-block:: python

    from ldclient import Config, datasystem

    config = Config("sdk-key", datasystem_config=datasystem.default().build())

Flags come by second-generation delivery, which the service must speak. *Initializers* are asked once each, until
one has flags that are up to date. *Synchronizers* then keep them so, one at a time: the next takes over from one
that fails for long, and the first comes back once another has worked well for a while.
"""

from typing import Any, Iterable, List, Optional

from ldclient.config import DataSourceBuilder, DataSystemConfig
from ldclient.impl.system_sources import (
    FallbackToFDv1DataSourceBuilder,
    FileDataSourceBuilder,
    PollingDataSourceBuilder,
    StreamingDataSourceBuilder,
)
from ldclient.impl.transfers import DataStoreMode

__all__ = [
    "ConfigBuilder",
    "custom",
    "daemon",
    "default",
    "fdv1_fallback_ds_builder",
    "file_ds_builder",
    "persistent_store",
    "polling",
    "polling_ds_builder",
    "streaming",
    "streaming_ds_builder",
]


class ConfigBuilder:
    """Puts a :class:`ldclient.config.DataSystemConfig` together."""

    def __init__(self) -> None:
        self._initializers: Optional[List[DataSourceBuilder]] = None
        self._synchronizers: List[DataSourceBuilder] = []
        self._fdv1_fallback_synchronizer: Optional[DataSourceBuilder] = None
        self._data_store_mode = DataStoreMode.READ_ONLY
        self._data_store: Any = None

    def initializers(self, initializers: Optional[Iterable[DataSourceBuilder]]) -> "ConfigBuilder":
        """What is asked for the first flags.

        :param initializers: in the order in which they are asked
        """
        self._initializers = None if initializers is None else list(initializers)
        return self

    def synchronizers(self, *synchronizers: DataSourceBuilder) -> "ConfigBuilder":
        """What keeps flags up to date.

        :param synchronizers: in the order in which they take over
        :raises ValueError: if there are none
        """
        if not synchronizers:
            raise ValueError("synchronizers() needs at least one synchronizer")
        self._synchronizers = list(synchronizers)
        return self

    def fdv1_compatible_synchronizer(self, synchronizer: DataSourceBuilder) -> "ConfigBuilder":
        """What takes the place of all when the service asks for first-generation delivery.

        :param synchronizer: from :func:`fdv1_fallback_ds_builder`
        """
        self._fdv1_fallback_synchronizer = synchronizer
        return self

    def data_store(self, data_store: Any, store_mode: DataStoreMode) -> "ConfigBuilder":
        """Where flags are kept besides memory.

        :param data_store: a :class:`ldclient.interfaces.FeatureStore`
        :param store_mode: whether it is written
        """
        self._data_store = data_store
        self._data_store_mode = store_mode
        return self

    def build(self) -> DataSystemConfig:
        """The config."""
        return DataSystemConfig(
            initializers=self._initializers,
            synchronizers=list(self._synchronizers) or None,
            data_store_mode=self._data_store_mode,
            data_store=self._data_store,
            fdv1_fallback_synchronizer=self._fdv1_fallback_synchronizer,
        )


def polling_ds_builder() -> PollingDataSourceBuilder:
    """Makes a source that polls."""
    return PollingDataSourceBuilder()


def streaming_ds_builder() -> StreamingDataSourceBuilder:
    """Makes a source that streams."""
    return StreamingDataSourceBuilder()


def fdv1_fallback_ds_builder() -> FallbackToFDv1DataSourceBuilder:
    """Makes a source that polls by first-generation delivery."""
    return FallbackToFDv1DataSourceBuilder()


def file_ds_builder(paths: Any) -> FileDataSourceBuilder:
    """Makes a source that reads files.

    :param paths: of the files
    """
    return FileDataSourceBuilder(paths)


def default() -> ConfigBuilder:
    """A poll for the first flags, then a stream, and polls while the stream does not work."""
    builder = custom().initializers([polling_ds_builder()])
    return builder.synchronizers(streaming_ds_builder(), polling_ds_builder()).fdv1_compatible_synchronizer(
        fdv1_fallback_ds_builder()
    )


def streaming() -> ConfigBuilder:
    """A stream, and nothing else unless the service asks for first-generation delivery."""
    return custom().synchronizers(streaming_ds_builder()).fdv1_compatible_synchronizer(fdv1_fallback_ds_builder())


def polling() -> ConfigBuilder:
    """Polls, and nothing else unless the service asks for first-generation delivery."""
    return custom().synchronizers(polling_ds_builder()).fdv1_compatible_synchronizer(fdv1_fallback_ds_builder())


def custom() -> ConfigBuilder:
    """No source yet."""
    return ConfigBuilder()


def daemon(store: Any) -> ConfigBuilder:
    """A store alone, which somebody else writes: nothing is connected to.

    :param store: a :class:`ldclient.interfaces.FeatureStore`
    """
    return custom().data_store(store, DataStoreMode.READ_ONLY)


def persistent_store(store: Any) -> ConfigBuilder:
    """As :func:`default`, with a store that is read until there are fresh flags, and then written.

    :param store: a :class:`ldclient.interfaces.FeatureStore`
    """
    return default().data_store(store, DataStoreMode.READ_WRITE)
