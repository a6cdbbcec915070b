"""Evaluators as trials of Ray Tune, which finds them places, and starts them anew where they are lost.

A trial is an evaluator for as long as the search lasts, and a step of it is a batch. With a trial for each batch Tune
took seven times as long over one (22 against 3 ms), and kept a single worker busy: it reuses an actor only where a
trial waits for one, and a search that waits for results has none waiting.
"""

import contextlib
import logging
import os
import pickle
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError
from ray.tune.search import Searcher

from dna_ray.distributed.sharing import shared
from dna_ray.errors import DnaRayError
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.subject.packing import unpack

FOREVER = -1  # to Tune: when to give up is decided where the batches are known
_POLL_SECONDS = 0.02  # of an evaluator that has nothing to do
_GRACE_SECONDS = 0.5  # to end by themselves
_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output can be turned off
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # the journal is what a search resumes from
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


class Seats(Searcher):  # type: ignore[misc]
    """Has Tune start so many evaluators. What they evaluate they learn from the docket."""

    def __init__(self, seats: int, config: dict[str, Any]) -> None:
        super().__init__()
        self._left, self._config = seats, config

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        if not self._left:
            return str(Searcher.FINISHED)
        self._left -= 1
        return self._config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class Seat(tune.Trainable):  # type: ignore[misc]
    """Keeps one subject ready, and evaluates what the docket has. Holds no mathematics."""

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([config["resources"]])

    def setup(self, config: dict[str, Any]) -> None:
        """Loads before the first batch is taken: others evaluate in the meantime."""
        self._docket = ray.get_actor(config["docket"])
        self._docket.arrive.remote(ray.get_runtime_context().current_actor)
        self._evaluator: Evaluator | None = None
        self._broken = self._caught(self._load)

    def step(self) -> dict[str, Any]:
        while (taken := ray.get(self._docket.take.remote(self.trial_id))) is True:
            time.sleep(_POLL_SECONDS)
        if taken is False:
            return {"done": True}
        number, letter = taken
        answer = self._broken or self._caught(lambda: self._evaluate(letter))
        ray.get(self._docket.give.remote(self.trial_id, number, answer))
        return {"done": False}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: what an evaluator knows it finds in the object store."""

    def _load(self) -> None:
        tensors, space, threads = ray.get(ray.get(self._docket.errand.remote()))
        torch.set_num_threads(threads)
        self._evaluator = Evaluator(unpack(shared(tensors)), space)

    def _evaluate(self, letter: bytes) -> bytes:
        assert self._evaluator is not None
        return pickle.dumps(self._evaluator.evaluate(pickle.loads(letter)))

    def _caught(self, work: Callable[[], bytes | None]) -> bytes | None:
        """What `work` returns, or the error: what was raised here would be raised by any other evaluator, too."""
        try:
            return work()
        except DnaRayError as error:
            return pickle.dumps(error)
        except Exception:  # handed to the driver, where it is raised
            return pickle.dumps(RuntimeError(f"an evaluator raised:\n{traceback.format_exc()}"))


class Losses(tune.Callback):  # type: ignore[misc]
    """Tells the docket whose process has died."""

    def __init__(self, docket: Any) -> None:
        self._docket = docket

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._docket.lose.remote(trial.trial_id)


class Closing(tune.Stopper):  # type: ignore[misc]
    """Ends all trials as soon as it is asked to."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.asked


class Tuning(threading.Thread):
    """Tune at work, until it is closed.

    Attributes:
        failure: What ended it, if anything did.
    """

    def __init__(self, docket: Any, name: str, *, seats: int, resources: Mapping[str, float], folder: Path) -> None:
        super().__init__(name="ray-tune", daemon=True)
        self.failure: BaseException | None = None
        self._docket, self._closing = docket, Closing()
        self._tuner = tune.Tuner(
            Seat,
            tune_config=tune.TuneConfig(
                search_alg=Seats(seats, {"docket": name, "resources": dict(resources)}), num_samples=-1
            ),
            run_config=tune.RunConfig(
                name="evaluators",
                storage_path=str(folder),
                verbose=0,
                stop=self._closing,
                callbacks=[Losses(docket)],
                failure_config=tune.FailureConfig(max_failures=FOREVER),
            ),
        )

    def run(self) -> None:
        try:
            self._tuner.fit()
        except Exception as error:  # handed to the driver's own thread
            self.failure = error

    def close(self) -> None:
        """Ends the evaluators, whatever they are at. Tune alone would wait ten seconds for one that is busy."""
        self._closing.asked = True
        with contextlib.suppress(RayError):
            evaluators = ray.get(self._docket.close.remote())
            self.join(_GRACE_SECONDS)
            for each in evaluators:
                ray.kill(each)
        self.join()


@contextlib.contextmanager
def tuning(docket: Any, name: str, *, seats: int, resources: Mapping[str, float], folder: Path) -> Iterator[Tuning]:
    """Evaluators that work off the docket of that name while the block lasts.

    Args:
        resources: Of each evaluator, such as `{"CPU": 1, "GPU": 0.25}`.
        folder: Where Tune may keep files for so long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="tune-", dir=folder.absolute()))  # Tune takes a relative path for a URI
    try:
        with _quiet(seats):
            thread = Tuning(docket, name, seats=seats, resources=resources, folder=own)
            thread.start()
            try:
                yield thread
            finally:
                thread.close()
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextlib.contextmanager
def _quiet(seats: int) -> Iterator[None]:
    """Tune takes its settings from the environment, and tells the terminal what it does; both only while it works."""
    settings = {**_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": str(seats)}
    before = {name: os.environ.get(name) for name in settings}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(settings)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
