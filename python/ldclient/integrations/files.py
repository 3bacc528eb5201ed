"""Flags from files: for tests, demonstrations, and programs without a service."""

import os
from typing import Any, Callable, Iterable, Union

from ldclient.impl.file_source import FileSource

__all__ = ["Files"]

_Paths = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]


class Files:
    """Flags from files.

    Each file is JSON or YAML, with any of ``flags`` and ``segments``, which are as a service sends them, and
    ``flagValues``, which serve one value to everybody:

    .. code-block:: json

        {"flags":      {"checkout": {"on": true, "variations": ["a", "b"], "fallthrough": {"variation": 0}}},
         "flagValues": {"new-menu": true, "rows": 20},
         "segments":   {"beta": {"included": ["user-1"]}}}

    If one of them cannot be read, or a key is there twice, nothing of any is used.
    """

    @staticmethod
    def new_data_source(
        paths: _Paths, auto_update: bool = False, poll_interval: float = 1, force_polling: bool = False
    ) -> Callable[[Any, Any, Any], FileSource]:
        """What ``update_processor_class`` takes.

        :param paths: of the files
        :param auto_update: whether they are read again when one of them changes
        :param poll_interval: how often is looked whether one has changed, in seconds
        :param force_polling: accepted; there is no other way than to look
        """
        return lambda config, store, ready: FileSource(config, store, ready, paths, auto_update, poll_interval)

    @staticmethod
    def new_data_source_v2(paths: _Paths, poll_interval: float = 1, force_polling: bool = False) -> Any:
        """An initializer or synchronizer for ``datasystem_config``; as a synchronizer it looks for changes.

        :param paths: of the files
        :param poll_interval: how often is looked whether one has changed, in seconds
        :param force_polling: accepted; there is no other way than to look
        """
        from ldclient.impl.system_sources import FileDataSourceBuilder

        return FileDataSourceBuilder(paths, poll_interval)
