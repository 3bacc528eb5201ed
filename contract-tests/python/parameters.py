"""What the harness sends, read with care: a null property counts as absent, one of the wrong type is a bad request."""

from typing import Any, Callable, Dict, List, Optional

from refusals import Bad


class Parameters:
    """An object that was sent."""

    def __init__(self, properties: Any, name: str):
        """
        :param properties: what was sent, not looked at yet
        :param name: what it is called if it is no object
        """
        if not isinstance(properties, dict):
            raise Bad("%s should be an object, not %r" % (name, properties))
        self.properties: Dict[str, Any] = properties

    def any(self, name: str) -> Any:
        """Whatever it is; ``None`` if it is absent."""
        return self.properties.get(name)

    def text(self, name: str, needed: bool = False) -> Any:
        return self._typed(name, needed, "a text", lambda value: isinstance(value, str))

    def given(self, name: str) -> Optional[str]:
        """A text; an empty one is none."""
        return self.text(name) or None

    def flag(self, name: str) -> bool:
        return self._typed(name, False, "true or false", lambda value: isinstance(value, bool)) or False

    def number(self, name: str) -> Any:
        return self._typed(name, False, "a number", _is_number)

    def seconds(self, name: str) -> Optional[float]:
        """What is sent in milliseconds."""
        milliseconds = self.number(name)
        return None if milliseconds is None else milliseconds / 1000

    def mapping(self, name: str) -> Dict[str, Any]:
        """An object whose names mean nothing here; empty if it is absent."""
        return self._typed(name, False, "an object", lambda value: isinstance(value, dict)) or {}

    def object(self, name: str, needed: bool = False) -> Any:
        """A :class:`Parameters`; ``None`` if it is absent."""
        value = self.any(name)
        return Parameters(value, name) if value is not None or needed else None

    def texts(self, name: str) -> List[str]:
        """A list of texts; empty if it is absent."""
        return self._typed(name, False, "a list of texts", _is_list_of(str)) or []

    def objects(self, name: str) -> Optional[List["Parameters"]]:
        """A list of :class:`Parameters`; ``None`` if it is absent."""
        values = self._typed(name, False, "a list of objects", _is_list_of(dict))
        return None if values is None else [Parameters(value, name) for value in values]

    def _typed(self, name: str, needed: bool, what: str, fits: Callable[[Any], bool]) -> Any:
        value = self.any(name)
        if fits(value) or (value is None and not needed):
            return value
        raise Bad("%s should be %s, not %r" % (name, what, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of(wanted: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(one, wanted) for one in value)
