"""The values of all flags for one context."""

import json
import time
from typing import Any, Dict, Optional

__all__ = ["FeatureFlagsState"]


class FeatureFlagsState:
    """A snapshot of all flags for one context: what :meth:`ldclient.client.LDClient.all_flags_state` gives.

    Its JSON form is what LaunchDarkly's client-side SDKs take to start with.
    """

    def __init__(self, valid: bool):
        """
        :param valid: whether the flags could be evaluated
        """
        self.__valid = valid
        self.__values: Dict[str, Any] = {}
        self.__metadata: Dict[str, dict] = {}

    @classmethod
    def _of(cls, values: Dict[str, Any], metadata: Dict[str, dict]) -> "FeatureFlagsState":
        """A valid state that owns these dictionaries."""
        state = cls(True)
        state.__values = values
        state.__metadata = metadata
        return state

    def add_flag(self, flag, *args) -> None:
        """Adds one flag; for tests that put a state together by hand.

        Takes either ``(flag_state, with_reasons, details_only_if_tracked)`` or, as before 7.3,
        ``(flag, value, variation, reason, details_only_if_tracked)``.
        """
        if len(args) == 4:
            value, variation, reason, details_only_if_tracked = args
            with_reasons = reason is not None
            state = dict(flag, value=value, variation=variation, reason=reason)
        elif len(args) == 2:
            with_reasons, details_only_if_tracked = args
            state = flag
        else:
            raise TypeError("add_flag() takes 3 or 5 arguments (%d given)" % (len(args) + 1))
        key = state["key"]
        self.__values[key] = state["value"]
        self.__metadata[key] = self.__metadata_of(state, with_reasons, details_only_if_tracked)

    @staticmethod
    def __metadata_of(state, with_reasons: bool, details_only_if_tracked: bool) -> dict:
        track_events = bool(state.get("trackEvents"))
        track_reason = bool(state.get("trackReason"))
        debug_until = state.get("debugEventsUntilDate")
        debugging = debug_until is not None and debug_until > time.time() * 1000
        detailed = not details_only_if_tracked or track_events or track_reason or debugging

        metadata = {}
        if detailed and state.get("version") is not None:
            metadata["version"] = state["version"]
        if state.get("variation") is not None:
            metadata["variation"] = state["variation"]
        if detailed and (with_reasons or track_reason) and state.get("reason") is not None:
            metadata["reason"] = state["reason"]
        if track_events:
            metadata["trackEvents"] = True
        if track_reason:
            metadata["trackReason"] = True
        if debug_until is not None:
            metadata["debugEventsUntilDate"] = debug_until
        if state.get("prerequisites"):
            metadata["prerequisites"] = state["prerequisites"]
        return metadata

    @property
    def valid(self) -> bool:
        """Whether the flags could be evaluated; if not, the state is empty."""
        return self.__valid

    def get_flag_value(self, key: str) -> Any:
        """The value of a flag; ``None`` if there is no such flag.

        :param key: the flag key
        """
        return self.__values.get(key)

    def get_flag_reason(self, key: str) -> Optional[dict]:
        """Why a flag has its value; ``None`` if reasons were not asked for, or there is no such flag.

        :param key: the flag key
        """
        metadata = self.__metadata.get(key)
        return None if metadata is None else metadata.get("reason")

    def to_values_map(self) -> Dict[str, Any]:
        """A dictionary of flag keys and values, without anything else."""
        return dict(self.__values)

    def to_json_dict(self) -> dict:
        """The JSON form: values, and what else is known of each flag under ``$flagsState``."""
        json_form = dict(self.__values)
        json_form["$flagsState"] = {key: dict(metadata) for key, metadata in self.__metadata.items()}
        json_form["$valid"] = self.__valid
        return json_form

    def to_json_string(self) -> str:
        """The JSON form as text."""
        return json.dumps(self.to_json_dict())

    def __getstate__(self) -> dict:
        return self.to_json_dict()

    def __setstate__(self, json_form: dict) -> None:
        values = dict(json_form)
        self.__valid = values.pop("$valid", False)
        self.__metadata = values.pop("$flagsState", {})
        self.__values = values
