"""The two kinds of data a store holds."""

from typing import Any, Callable, Iterable, Optional

__all__ = ["FEATURES", "SEGMENTS", "VersionedDataKind", "VersionedDataKindWithOrdering"]


class VersionedDataKind:
    """A kind of data: what its items are called, and where they come from."""

    def __init__(
        self,
        namespace: str,
        request_api_path: str,
        stream_api_path: str,
        decoder: Optional[Callable[[dict], Any]] = None,
    ):
        """
        :param namespace: what the kind is called in a store
        :param request_api_path: the path that gives all items
        :param stream_api_path: how paths of items begin in the stream
        :param decoder: makes an item of its JSON form; items stay dictionaries without one
        """
        self._namespace = namespace
        self._request_api_path = request_api_path
        self._stream_api_path = stream_api_path
        self._decoder = decoder

    @property
    def namespace(self) -> str:
        """What the kind is called in a store."""
        return self._namespace

    @property
    def request_api_path(self) -> str:
        """The path that gives all items."""
        return self._request_api_path

    @property
    def stream_api_path(self) -> str:
        """How paths of items begin in the stream."""
        return self._stream_api_path

    def decode(self, data: Any) -> Any:
        """An item of its JSON form.

        :param data: a dictionary, or an item, which comes out as it went in
        """
        if self._decoder is None or not isinstance(data, dict):
            return data
        return self._decoder(data)

    def encode(self, item: Any) -> Any:
        """The JSON form of an item.

        :param item: an item, or a dictionary, which comes out as it went in
        """
        return item.to_json_dict() if hasattr(item, "to_json_dict") else item

    def __repr__(self) -> str:
        return "VersionedDataKind(%r)" % self._namespace


class VersionedDataKindWithOrdering(VersionedDataKind):
    """A kind of data whose items must be written in some order."""

    def __init__(
        self,
        namespace: str,
        request_api_path: str,
        stream_api_path: str,
        decoder: Any = None,
        priority: Any = 0,
        get_dependency_keys: Optional[Callable[[Any], Iterable[str]]] = None,
    ):
        """
        Takes ``(…, decoder, priority, get_dependency_keys)`` or, as before 8.0, ``(…, priority,
        get_dependency_keys)``.

        :param priority: lower is written first
        :param get_dependency_keys: gives the keys of items that must be written before an item
        """
        if isinstance(decoder, int):
            decoder, priority, get_dependency_keys = None, decoder, priority or get_dependency_keys
        super().__init__(namespace, request_api_path, stream_api_path, decoder)
        self._priority = priority
        self._get_dependency_keys = get_dependency_keys

    @property
    def priority(self) -> int:
        """Lower is written first."""
        return self._priority

    @property
    def get_dependency_keys(self) -> Optional[Callable[[Any], Iterable[str]]]:
        """Gives the keys of items that must be written before an item."""
        return self._get_dependency_keys


def _prerequisite_keys(flag: Any) -> Iterable[str]:
    return [prerequisite.get("key") for prerequisite in flag.get("prerequisites") or []]


#: Flags.
FEATURES = VersionedDataKindWithOrdering(
    "features", "/sdk/latest-flags", "/flags/", None, 1, _prerequisite_keys
)

#: Segments.
SEGMENTS = VersionedDataKindWithOrdering("segments", "/sdk/latest-segments", "/segments/", None, 0, None)
