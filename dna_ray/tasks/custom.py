"""Tasks of the user's own: `module:function`, called with a network, returns its metrics.

```python
def loss(network: Network) -> dict[str, float | tuple[float, float]]:
    return {"loss": (2.31, 0.04), "accuracy": 0.87, "n": 500}     # value and standard error, or value; n examples
```
"""

import importlib
import math
from collections.abc import Callable, Mapping
from numbers import Real

from dna_ray.errors import DnaRayError, TaskError
from dna_ray.networks import Network
from dna_ray.tasks.score import Measured, Score


def load_task(name: str) -> Callable[[Network], object]:
    """The function that `module:function` names. Importing the module runs its code.

    Raises:
        TaskError: There is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module is the user's code
        raise TaskError(
            f"task {name!r}: module {module_name!r} cannot be imported ({_reason(error)}); "
            "put its folder on PYTHONPATH, or correct the name"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TaskError(f"task {name!r}: module {module_name!r} has no function {function_name!r}; correct the name")
    return function


def score_custom(name: str, network: Network) -> Score:
    """Judges `network` by the function that `module:function` names.

    Raises:
        TaskError: The function is not found, raises, or returns anything but a dict of finite figures.
    """
    function = load_task(name)
    try:
        result = function(network)
    except DnaRayError:
        raise
    except Exception as error:  # the function is the user's code
        raise TaskError(f"task {name!r}: raised {_reason(error)} on {network.name}; correct the task") from error
    if not isinstance(result, Mapping) or not result.keys() - {"n"}:
        raise TaskError(f"task {name!r}: returned {_shown(result)}; return a dict of metrics such as {{'loss': 2.3}}")
    n = result.get("n", 1)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise TaskError(
            f"task {name!r}: 'n' is {_shown(n)}; make it the number of examples, at least 1, or leave it out"
        )
    metrics = {str(key): _measured(name, str(key), value) for key, value in result.items() if key != "n"}
    return Score(task=name, subject=network.fingerprint, n=n, metrics=metrics)


def _measured(task: str, metric: str, value: object) -> Measured:
    figures = value if isinstance(value, tuple) else (value,)
    if len(figures) not in (1, 2) or not all(isinstance(f, Real) and math.isfinite(f) for f in figures):
        raise TaskError(
            f"task {task!r}: metric {metric!r} is {_shown(value)}; "
            "make it a finite number, or a tuple of one and its standard error"
        )
    return Measured(*map(float, figures))


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
