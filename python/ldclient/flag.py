"""The familiar place of :class:`EvaluationDetail`."""

from ldclient.evaluation import EvaluationDetail

__all__ = ["EvaluationDetail", "error_reason"]


def error_reason(error_kind: str) -> dict:
    """The reason of an evaluation that could not be done.

    :param error_kind: for example ``FLAG_NOT_FOUND``
    """
    return {"kind": "ERROR", "errorKind": error_kind}
