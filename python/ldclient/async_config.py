"""How a client for asyncio is set up."""

from ldclient.config import BigSegmentsConfig, Config, DataSystemConfig

__all__ = ["AsyncBigSegmentsConfig", "AsyncConfig", "AsyncDataSystemConfig"]


class AsyncConfig(Config):
    """How an :class:`ldclient.async_client.AsyncLDClient` is set up: a :class:`ldclient.config.Config` whose
    components may be written as coroutines.

    Stores, hooks, plugins, data sources, event processors and the like may be of the types of
    :mod:`ldclient.interfaces` or of their ``Async…`` twins.
    """

    _user_agent = "PythonAsyncClient"


class AsyncBigSegmentsConfig(BigSegmentsConfig):
    """A :class:`ldclient.config.BigSegmentsConfig` whose store may be a
    :class:`ldclient.interfaces.AsyncBigSegmentStore`."""


class AsyncDataSystemConfig(DataSystemConfig):
    """A :class:`ldclient.config.DataSystemConfig` whose builders may make an
    :class:`ldclient.interfaces.AsyncInitializer` or :class:`ldclient.interfaces.AsyncSynchronizer`, and whose store
    may be a :class:`ldclient.interfaces.AsyncFeatureStore`."""
