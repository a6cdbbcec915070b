import signal
import threading
import time
from contextlib import suppress

import pytest
import small_subjects as small

from dna_ray.errors import TaskError
from dna_ray.evolution.subject.own_task import OwnTask
from dna_ray.evolution.subject.time_limit import TimeIsUp, time_limit
from dna_ray.networks import Network


def stubborn() -> None:
    while True:
        with suppress(Exception):
            time.sleep(10)


def test_a_block_that_takes_too_long_is_ended_though_it_catches_every_exception():
    with pytest.raises(TimeIsUp), time_limit(0.05):
        stubborn()


def test_a_block_in_time_is_left_alone_and_so_is_the_alarm_of_others():
    handler, before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    with time_limit(30), time_limit(None):
        pass
    assert signal.getsignal(signal.SIGALRM) == handler
    left = signal.getitimer(signal.ITIMER_REAL)
    assert (left[0] > 0) == (before[0] > 0)
    assert left[0] <= before[0]


def test_outside_the_main_thread_a_limit_is_refused():
    refused: list[str] = []

    def limited() -> None:
        try:
            with time_limit(1):
                pass
        except TaskError as error:
            refused.append(str(error))

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert "main thread" in refused[0]


def test_a_task_that_hangs_has_failed_and_the_next_one_goes_on():
    calls: list[int] = []

    def hangs_once(network: Network) -> float:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(60)
        return 1.0

    task = OwnTask(hangs_once, small.network("images"), timeout=0.2)
    with pytest.raises(TaskError, match=r"took longer than 0.2 s; give it more time"):
        task.loss({})
    assert task.loss({}) == 1.0
