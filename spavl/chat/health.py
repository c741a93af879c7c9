"""Whether an endpoint is worth asking on: some requests may fail, all of them may not."""

from spavl.errors import TRY_AGAIN, InputError, SpavlError

HOPELESS_AFTER = 16
"""So many requests not served, none in between: it is the endpoint or its settings."""


class EndpointError(SpavlError):
    """An endpoint serves nobody in spite of all attempts; trying later may help."""

    exit_code = TRY_AGAIN


class Health:
    """What an endpoint has served so far.

    Args:
        url: The endpoint's address, for messages.
        attempts: Attempts at a request, for messages.
    """

    def __init__(self, url: str, attempts: int) -> None:
        self._url = url
        self._attempts = attempts
        self._asked = 0
        self._unanswered = 0
        self._turned_down = 0
        self.has_served = False

    def asked(self, requests: int) -> None:
        """Notes that so many requests will be made; fewer than `HOPELESS_AFTER` may be all."""
        self._asked += requests

    def served(self) -> None:
        """Notes an answer."""
        self.has_served = True
        self._unanswered = 0

    def unanswered(self, detail: str) -> str:
        """Notes a request that failed at every attempt; returns what to say of it.

        Raises:
            EndpointError: It is one of many in succession, or nobody was ever served.
        """
        self._unanswered += 1
        said = f"no answer after {self._attempts} attempts ({self._url}): {detail}"
        if self._unanswered >= self._enough():
            raise EndpointError(f"{said}; see that the endpoint is up and run again")
        return said

    def turned_down(self, detail: str, remedy: str) -> None:
        """Notes a request that the endpoint refused for what it says.

        Raises:
            InputError: It refuses everybody.
        """
        self._turned_down += 1
        if not self.has_served and self._turned_down >= self._enough():
            raise InputError(
                f"the endpoint turns down every request, last: {detail}", self._url, remedy
            )

    def _enough(self) -> int:
        return HOPELESS_AFTER if self.has_served else min(HOPELESS_AFTER, self._asked)
