"""What can be plugged into a client: hooks, and code that runs once when the client is made.

.. code-block:: python

    class Tracing(Plugin):
        @property
        def metadata(self):
            return PluginMetadata("tracing")

        def get_hooks(self, metadata):
            return [TracingHook(metadata.sdk.name)]

        def register(self, client, metadata):
            client.flag_tracker.add_listener(self.flag_changed)

    client = LDClient(Config("sdk-key", plugins=[Tracing()]))
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional

from ldclient.hook import Hook

if TYPE_CHECKING:
    from ldclient.async_client import AsyncLDClient
    from ldclient.client import LDClient

__all__ = ["ApplicationMetadata", "AsyncPlugin", "EnvironmentMetadata", "Plugin", "PluginMetadata", "SdkMetadata"]


@dataclass
class SdkMetadata:
    """Which SDK a client is of, and what is wrapped around it."""

    #: The SDK's name.
    name: str
    #: Its version.
    version: str
    #: The name of a library around it.
    wrapper_name: Optional[str] = None
    #: The version of that.
    wrapper_version: Optional[str] = None


@dataclass
class ApplicationMetadata:
    """What the program says it is: see ``application`` of :class:`ldclient.config.Config`."""

    #: Its id; empty if it was not given.
    id: Optional[str] = None
    #: Its version; empty if it was not given.
    version: Optional[str] = None


@dataclass
class EnvironmentMetadata:
    """Where a plugin finds itself."""

    #: The SDK that the client is of.
    sdk: SdkMetadata
    #: The client's SDK key: a secret.
    sdk_key: Optional[str] = None
    #: What the program says it is.
    application: Optional[ApplicationMetadata] = None


@dataclass
class PluginMetadata:
    """What a plugin says of itself."""

    #: What the plugin is called in log lines.
    name: str


class Plugin:
    """Something that is plugged into a client by ``plugins`` of :class:`ldclient.config.Config`.

    All plugins are asked for their hooks first, then all are registered, in the order in which they were given;
    both before the client connects, so that nothing is missed. What a plugin raises is logged, and the client
    is made all the same.
    """

    @property
    def metadata(self) -> PluginMetadata:
        """What the plugin says of itself."""
        return PluginMetadata(type(self).__name__)

    def get_hooks(self, metadata: EnvironmentMetadata) -> List[Hook]:
        """The hooks that the plugin brings. They come after those of the config.

        :param metadata: where the plugin finds itself
        """
        return []

    def register(self, client: "LDClient", metadata: EnvironmentMetadata) -> None:
        """Runs while the client is made, once it can be used: there are no flags yet, and none come before
        this returns.

        :param client: the client
        :param metadata: where the plugin finds itself
        """


class AsyncPlugin(Plugin):
    """A plugin that is registered by a coroutine, for :class:`ldclient.async_client.AsyncLDClient`."""

    async def register(  # type: ignore[override]
        self, client: "AsyncLDClient", metadata: EnvironmentMetadata
    ) -> None:
        """Runs on the event loop while the client is started, once it can be used: there are no flags yet, and
        none come before this is done.

        :param client: the client
        :param metadata: where the plugin finds itself
        """
