"""What an evaluation answers."""

from typing import Any, Optional

from ldclient.flags_state import FeatureFlagsState

__all__ = ["BigSegmentsStatus", "EvaluationDetail", "FeatureFlagsState"]


class EvaluationDetail:
    """A flag's value for a context, and why it is that value."""

    __slots__ = ("__value", "__variation_index", "__reason")

    def __init__(self, value: Any, variation_index: Optional[int], reason: dict):
        """
        :param value: the value, or the caller's default
        :param variation_index: which of the flag's variations it is, from 0; ``None`` for the default
        :param reason: why, as a dictionary with at least ``kind``
        """
        self.__value = value
        self.__variation_index = variation_index
        self.__reason = reason

    @property
    def value(self) -> Any:
        """The value: one of the flag's variations, or the caller's default."""
        return self.__value

    @property
    def variation_index(self) -> Optional[int]:
        """Which of the flag's variations it is, from 0; ``None`` if it is the caller's default."""
        return self.__variation_index

    @property
    def reason(self) -> dict:
        """Why: ``kind`` is ``OFF``, ``FALLTHROUGH``, ``TARGET_MATCH``, ``RULE_MATCH`` (with ``ruleIndex``
        and ``ruleId``), ``PREREQUISITE_FAILED`` (with ``prerequisiteKey``) or ``ERROR`` (with ``errorKind``:
        ``CLIENT_NOT_READY``, ``FLAG_NOT_FOUND``, ``USER_NOT_SPECIFIED``, ``MALFORMED_FLAG``, ``WRONG_TYPE``
        or ``EXCEPTION``). ``inExperiment`` and ``bigSegmentsStatus`` are there when they apply.
        """
        return self.__reason

    def is_default_value(self) -> bool:
        """Whether the value is the caller's default."""
        return self.__variation_index is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EvaluationDetail):
            return NotImplemented
        return (
            self.value == other.value
            and self.variation_index == other.variation_index
            and self.reason == other.reason
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "(value=%s, variation_index=%s, reason=%s)" % (self.value, self.variation_index, self.reason)

    def __reduce__(self):
        return (EvaluationDetail, (self.value, self.variation_index, self.reason))


class BigSegmentsStatus:
    """How the store of big segments was when an evaluation asked it: ``bigSegmentsStatus`` in a reason."""

    #: It answered with fresh data.
    HEALTHY = "HEALTHY"
    #: It answered, but has not been synchronised for a while.
    STALE = "STALE"
    #: There is none, or the segment has no generation.
    NOT_CONFIGURED = "NOT_CONFIGURED"
    #: It failed.
    STORE_ERROR = "STORE_ERROR"
