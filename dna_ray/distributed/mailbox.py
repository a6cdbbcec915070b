"""The actor through which workers and driver talk while Ray Train is at work."""


class Mailbox:
    """What workers tell the driver, and the driver's wish that they stop.

    It imports nothing and opens no letter: its process is there at once, where importing torch takes seconds.
    """

    def __init__(self) -> None:
        self._letters: list[bytes] = []
        self._stop = False

    def put(self, letter: bytes) -> bool:
        """Returns whether to stop."""
        self._letters.append(letter)
        return self._stop

    def take(self) -> list[bytes]:
        """All letters since the last call, in the order in which they came."""
        letters, self._letters = self._letters, []
        return letters

    def stop(self) -> None:
        self._stop = True
