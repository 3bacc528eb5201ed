"""Plugs a config's plugins into a client that is being made."""

from typing import TYPE_CHECKING, List

from ldclient.config import Config
from ldclient.hook import Hook
from ldclient.impl.hooks import name_of
from ldclient.plugin import ApplicationMetadata, EnvironmentMetadata, SdkMetadata
from ldclient.util import log
from ldclient.version import VERSION

if TYPE_CHECKING:
    from ldclient.client import LDClient

#: The name under which this SDK reports on itself.
_SDK_NAME = "python-server-sdk"


class Plugins:
    """The plugins of one client, in the order in which they were given."""

    def __init__(self, config: Config):
        """
        :param config: the client's
        """
        application = config.application
        self.__plugins = config.plugins
        self.__environment = EnvironmentMetadata(
            SdkMetadata(_SDK_NAME, VERSION, config.wrapper_name, config.wrapper_version),
            config.sdk_key,
            ApplicationMetadata(application["id"], application["version"]),
        )

    def hooks(self) -> List[Hook]:
        """What all plugins bring."""
        hooks: List[Hook] = []
        for plugin in self.__plugins:
            try:
                hooks.extend(hook for hook in plugin.get_hooks(self.__environment) or () if isinstance(hook, Hook))
            except Exception as error:
                log.error("Error getting hooks from plugin %s: %s", name_of(plugin), error)
        return hooks

    def register(self, client: "LDClient") -> None:
        """Shows all plugins the client.

        :param client: can be used already, but is not connected
        """
        for plugin in self.__plugins:
            try:
                plugin.register(client, self.__environment)
            except Exception as error:
                log.error("Error registering plugin %s: %s", name_of(plugin), error)

