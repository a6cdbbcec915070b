"""A task of the user's own as the signal of a search: called with a sparse network, it says how large its loss is.

```python
def loss(network: Network) -> dict[str, float]:
    return {"loss": 2.31, "accuracy": 0.87}     # or the loss alone, as a number
```

The code is not ours: what it raises, returns or changes becomes a reason why an evaluation failed, and so does, where
a time-out is set, that it takes longer. Then how fast the machine is decides; nothing else here depends on a clock.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Real
from zlib import crc32

from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.evolution.sparsity.sparse import network_of
from dna_ray.evolution.subject.time_limit import TimeIsUp, time_limit
from dna_ray.networks import Network
from dna_ray.networks.fingerprint import bytes_of
from dna_ray.tasks.custom import load_task

Task = Callable[[Network], object]


class OwnTask:
    """Calls the task with networks whose weights it may read but not change, and sees to it that it does not.

    A network given to the task shares what stays dense with those given later. So its weights are summed up before
    and after, and if they differ the dense ones are put back.

    Args:
        task: A function, or `module:function`.
        timeout: Seconds that a call may take; None: as long as it likes.

    Raises:
        TaskError: There is no such function.
    """

    def __init__(self, task: Task | str, network: Network, *, timeout: float | None = None) -> None:
        self._call = load_task(task) if isinstance(task, str) else task
        self._timeout = timeout
        self.name = task if isinstance(task, str) else getattr(task, "__name__", type(task).__name__)
        self._network = network
        self._shared = self._copy()

    def loss(self, sparse: Mapping[str, Tensor]) -> float:
        """What the task says of the network with the tensors `sparse` in place of its own; smaller is better.

        Raises:
            TaskError: It raised, took too long, returned no finite loss, or changed the network.
        """
        given = self._shared | dict(sparse)
        before = {name: crc32(bytes_of(tensor)) for name, tensor in given.items()}
        network = network_of(self._network, given)
        try:
            with time_limit(self._timeout):
                result = self._call(network)
        except TimeIsUp as error:
            raise TaskError(
                f"task {self.name!r}: took longer than {self._timeout:g} s; give it more time, or less to do"
            ) from error
        except Exception as error:  # the function is the user's code
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise TaskError(f"task {self.name!r}: raised {reason}; correct the task") from error
        finally:
            changed = [name for name, tensor in given.items() if crc32(bytes_of(tensor)) != before[name]]
            if changed:
                self._shared = self._copy()
        if changed:
            raise TaskError(
                f"task {self.name!r}: changed the network ({len(changed)} tensors, first {changed[0]!r}); "
                "clone a tensor before changing it in place"
            )
        return self._loss(result)

    def _loss(self, result: object) -> float:
        value = result.get("loss") if isinstance(result, Mapping) else result
        if isinstance(value, tuple) and value:  # with its standard error
            value = value[0]
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TaskError(f"task {self.name!r}: returned {result!r:.60}; return a number, or a dict with a 'loss'")
        if not isfinite(value):
            raise TaskError(f"task {self.name!r}: its loss is {float(value)}; make it a finite number")
        return float(value)

    def _copy(self) -> dict[str, Tensor]:
        return {info.name: self._network.read(info.name).clone() for info in self._network.anatomy}
