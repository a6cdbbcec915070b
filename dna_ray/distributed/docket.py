"""The actor where evaluators find batches, and leave what came of them."""

import asyncio
from collections import deque
from typing import Any


class Docket:
    """Batches that wait, who works on which, and what came back. One driver, any number of evaluators.

    It imports nothing heavy and opens no letter: its process is there at once, where importing torch takes seconds.
    All methods run in one event loop, so each is alone while it does not wait.
    """

    def __init__(self, errand: list[Any]) -> None:
        """`errand`: a reference to what evaluators need, in a list, so that Ray leaves it one."""
        self._errand = errand
        self._evaluators: list[Any] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._held: dict[str, int] = {}
        self._back: list[tuple[int | None, bytes | None]] = []
        self._news = asyncio.Event()
        self._closed = False

    async def errand(self) -> Any:
        """The reference to what evaluators need."""
        return self._errand[0]

    async def arrive(self, evaluator: Any) -> None:
        """The handle of an evaluator that has started."""
        self._evaluators.append(evaluator)

    async def put(self, number: int, letter: bytes) -> None:
        """Has `letter` evaluated. Numbers may come again when nobody works on them any more."""
        self._waiting.append((number, letter))

    async def take(self, evaluator: str) -> tuple[int, bytes] | bool:
        """The next letter. True: there is none now, ask again; False: there never will be."""
        if evaluator in self._held:  # it has started anew, and Tune had no time to say so
            await self.lose(evaluator)
        if self._closed or not self._waiting:
            return not self._closed
        number, letter = self._waiting.popleft()
        self._held[evaluator] = number
        return number, letter

    async def give(self, evaluator: str, number: int, letter: bytes) -> None:
        """What came of a letter. Of one that was thought lost it is dropped: somebody else evaluates it again."""
        if self._held.get(evaluator) == number:
            del self._held[evaluator]
            self._tell(number, letter)

    async def lose(self, evaluator: str) -> None:
        """The process of an evaluator has died. The driver learns what it had been working on, None if on nothing."""
        self._tell(self._held.pop(evaluator, None), None)

    async def back(self, seconds: float) -> list[tuple[int | None, bytes | None]]:
        """What has come back since the last call, waiting for some at most so long; None in place of a lost letter."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return []
        self._news.clear()
        back, self._back = self._back, []
        return back

    async def close(self) -> list[Any]:
        """From now on no evaluator takes anything. Returns all that have arrived."""
        self._closed = True
        return self._evaluators

    def _tell(self, number: int | None, letter: bytes | None) -> None:
        self._back.append((number, letter))
        self._news.set()
