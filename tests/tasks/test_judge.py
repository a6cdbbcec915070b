import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_config import TINY

from dna_ray.errors import NetworkError, TaskError
from dna_ray.networks import Network
from dna_ray.tasks import TASK_NAMES, TASKS, TaskSettings, default_task, evaluate, judge, why_unmeasured

BERT = {**TINY, "vocab_size": 30522}


@pytest.fixture
def settings(words_file: Path) -> TaskSettings:
    return TaskSettings(texts=words_file, limit=20)


@pytest.fixture(autouse=True)
def _nothing_prepared() -> Iterator[None]:
    judge._prepared.clear()
    yield
    judge._prepared.clear()


@pytest.fixture
def user_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module of the user's whose `task` returns an expression, and names it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(expression: str) -> str:
        module = f"task_{abs(hash(expression))}"
        (tmp_path / f"{module}.py").write_text(f"def task(network):\n    return {expression}\n")
        return f"{module}:task"

    return write


def test_names_that_are_known_without_torch_are_those_of_the_table():
    assert tuple(TASKS) == TASK_NAMES


def test_settings_need_no_torch():
    code = (
        "import dna_ray.tasks, dna_ray.tasks.config, sys; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_score_is_plain_json(minilm: Network, settings: TaskSettings):
    score = evaluate(minilm, original=minilm, settings=settings).to_json()
    assert json.loads(json.dumps(score)) == score
    assert (score["task"], score["n"], score["subject"]) == ("agreement", 20, minilm.fingerprint)
    assert score["notes"] == ["test split of words.txt, duplicates removed"]
    assert list(score["metrics"]) == ["cosine", "rank_correlation", "same_neighbour"]
    assert set(score["metrics"]["cosine"]) == {"value", "stderr"}


def test_what_the_original_answers_is_kept_for_the_next_subject(
    tiny: Callable[..., Network], disturb: Callable[..., Network], settings: TaskSettings
):
    original = tiny("BertModel", **BERT)
    evaluate(disturb(original, 0.1), original=original, settings=settings)
    (kept,) = judge._prepared.values()
    evaluate(disturb(original, 0.2), original=original, settings=settings)
    assert [*judge._prepared.values()] == [kept]


def test_changed_texts_are_read_again(tiny: Callable[..., Network], tmp_path: Path):
    path = tmp_path / "texts.txt"
    settings = TaskSettings(texts=path)
    original = tiny("BertModel", **BERT)
    counts = []
    for lines in (100, 400):
        path.write_text("\n".join(f"sentence number {i} of many" for i in range(lines)))
        counts.append(evaluate(original, original=original, settings=settings).n)
    assert counts[0] < counts[1]


def test_few_originals_are_kept(tiny: Callable[..., Network], settings: TaskSettings):
    original = tiny("BertModel", **BERT)
    for seed in range(4):
        evaluate(original, original=original, settings=replace(settings, seed=seed))
    assert len(judge._prepared) == judge.MOST_PREPARED


def test_default_task_follows_the_config(minilm: Network, tiny: Callable[..., Network]):
    assert default_task(minilm) == "agreement"
    assert why_unmeasured(minilm) is None
    assert default_task(tiny("ViTModel", **TINY, image_size=32, patch_size=8)) == "images"


@pytest.mark.parametrize(
    ("lack", "reason"),
    [
        ({"config": None}, "is a bare state dict without a config.json"),
        ({"files": ()}, "has no tokenizer"),
        ({"config": {"model_type": "something"}}, "neither reads text nor looks at images"),
        ({"config": {"vocab_size": 10, "is_encoder_decoder": True}}, "is an encoder-decoder"),
    ],
)
def test_why_nothing_fits_is_said(minilm: Network, lack: dict[str, object], reason: str):
    network = replace(minilm, **lack)
    assert default_task(network) is None
    assert (why_unmeasured(network) or "").startswith(f"function: not measured, because {network.name} {reason}")


def test_a_bare_state_dict_cannot_be_judged(minilm: Network, settings: TaskSettings):
    with pytest.raises((TaskError, NetworkError), match=minilm.name):
        evaluate(minilm, original=replace(minilm, config=None), settings=settings)


def test_an_unknown_task_is_corrected(minilm: Network):
    with pytest.raises(TaskError, match="task 'agrement': unknown; did you mean 'agreement'"):
        evaluate(minilm, "agrement", original=minilm)
    with pytest.raises(TaskError, match="choose one of agreement, classify, images, or module:function"):
        evaluate(minilm, "xyz", original=minilm)


def test_a_task_of_the_users_own(minilm: Network, user_task: Callable[[str], str]):
    name = user_task("{'layers': network.anatomy.layers, 'loss': (2.5, 0.1), 'n': 7}")
    score = evaluate(minilm, name, original=minilm).to_json()
    assert score["metrics"] == {"layers": {"value": 6.0, "stderr": None}, "loss": {"value": 2.5, "stderr": 0.1}}
    assert (score["task"], score["n"], score["subject"]) == (name, 7, minilm.fingerprint)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero on sample:minilm"),
        ("3.5", "returned float 3.5; return a dict"),
        ("{}", "returned dict {}; return a dict"),
        ("{'loss': float('nan')}", "metric 'loss' is float nan"),
        ("{'loss': (1.0, float('inf'))}", r"metric 'loss' is tuple \(1.0, inf\)"),
        ("{'loss': 'low'}", "metric 'loss' is str 'low'"),
        ("{'loss': 1.0, 'n': -3}", "'n' is int -3"),
    ],
)
def test_a_task_of_the_users_own_that_goes_wrong_is_named(
    minilm: Network, user_task: Callable[[str], str], expression: str, message: str
):
    name = user_task(expression)
    with pytest.raises(TaskError, match=rf"task '{name}': .*{message}"):
        evaluate(minilm, name, original=minilm)


def test_a_task_of_the_users_own_that_is_not_there(minilm: Network, user_task: Callable[[str], str]):
    with pytest.raises(TaskError, match="module 'nowhere' cannot be imported .* put its folder on PYTHONPATH"):
        evaluate(minilm, "nowhere:task", original=minilm)
    name = user_task("{}").replace(":task", ":tusk")
    with pytest.raises(TaskError, match="has no function 'tusk'"):
        evaluate(minilm, name, original=minilm)
