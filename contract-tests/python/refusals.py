"""What went wrong, as the harness learns it."""


class Refusal(Exception):
    """A request that was not done, with the status that says why."""

    status = 500


class Bad(Refusal):
    """The request cannot be meant."""

    status = 400


class Failed(Refusal):
    """The SDK did not do it."""
