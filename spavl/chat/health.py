"""Whether an endpoint is worth asking on: some requests may fail, all of them may not."""

from spavl.errors import TRY_AGAIN, InputError, SpavlError

HOPELESS_AFTER = 16
"""So many requests tell something of the endpoint; fewer may be chance."""


class EndpointError(SpavlError):
    """An endpoint serves nobody in spite of all attempts; trying later may help."""

    exit_code = TRY_AGAIN


class Health:
    """What an endpoint has served so far.

    Args:
        url: The endpoint's address, for messages.
        max_set_aside: Share of requests that may be lost.
    """

    def __init__(self, url: str, max_set_aside: float = 0.2) -> None:
        self._url = url
        self._max_set_aside = max_set_aside
        self._asked = 0
        self._lost = 0
        self._ours = 0
        self._others: set[str] = set()
        self._by_others = 0
        self.has_served = False

    def asked(self, requests: int) -> None:
        """Notes that so many requests will be made; fewer than `HOPELESS_AFTER` may be all."""
        self._asked += requests

    def served(self) -> None:
        """Notes an answer, a refusal of what was asked among them."""
        self.has_served = True

    def unanswered(self, attempts: int, detail: str) -> str:
        """Notes a request that failed at every attempt; returns what to say of it.

        Raises:
            EndpointError: Too many were lost.
        """
        said = f"no answer after {attempts} attempts ({self._url}): {detail}"
        self.lost(said, "see that the endpoint is up")
        return said

    def lost(self, detail: str, remedy: str) -> None:
        """Notes a request that comes to nothing.

        Raises:
            EndpointError: Their share is above the bound.
        """
        self._lost += 1
        if self._lost >= self._enough() and self._lost > self._max_set_aside * self._asked:
            raise EndpointError(
                f"{self._lost} of {self._asked} requests set aside, more than max_set_aside "
                f"{self._max_set_aside:g} allows, last: {detail}; {remedy} and run again"
            )

    def at_fault(self, detail: str, remedy: str) -> None:
        """Notes a request that fails for the key, the address, the model's name or a setting.

        Raises:
            InputError: Nobody was ever served and all fail so.
            EndpointError: See `lost`.
        """
        self._ours += 1
        if not self.has_served and self._ours >= self._enough():
            raise InputError(
                f"the endpoint turns down every request, last: {detail}", self._url, remedy
            )
        self.lost(detail, remedy)

    def by_another(self, model: str, asked: str) -> None:
        """Notes an answer of another model.

        Raises:
            InputError: Only one model answers, and it is another.
        """
        self._by_others += 1
        self._others.add(model)
        alone = not self.has_served and len(self._others) == 1
        if alone and self._by_others >= self._enough():
            raise InputError(
                f"the answers come from {model!r}, not from {asked!r}",
                self._url,
                f"set expected_model to {model}, or to an empty text to take every answer",
            )

    def _enough(self) -> int:
        return min(HOPELESS_AFTER, self._asked)
