"""How the command starts: at once, whatever it may import later."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dna_ray.cli import main

HEAVY = ("torch", "ray", "mlflow", "transformers", "numpy", "rich", "yaml", "pydantic", "scipy")
VERBS = ("mine", "compare", "run", "resume", "rebuild", "inspect", "verify", "evaluate", "status", "lineage", "ui")

IMPORTED = """
import sys
from dna_ray.cli import main
main({arguments!r}, prog_name="dna-ray", standalone_mode=False)
sys.stderr.write(" ".join(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def imported(*arguments: str, **variables: str) -> set[str]:
    """The top-level modules that a call of the command leaves behind."""
    script = IMPORTED.format(arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | variables, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("mine", "--help"), ("--version",)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]):
    assert not imported(*arguments) & set(HEAVY)


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, dna_ray; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*HEAVY, "click"}


def complete(words: str) -> list[str]:
    """What the shell is offered for the last of `words`."""
    variables = {
        "_DNA_RAY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    script = (
        "import sys\nfrom dna_ray.cli import main\n"
        "try: main(prog_name='dna-ray')\n"
        "finally: assert not {'torch', 'ray', 'mlflow', 'numpy', 'rich'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | variables, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_verbs_options_and_kinds():
    assert complete("dna-ray comp") == ["compare"]
    assert complete("dna-ray mine --num") == ["--num-layers"]
    assert complete("dna-ray mine --kind h") == ["hierarchical"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_the_options_that_all_have(verb: str):
    done = CliRunner().invoke(main, [verb, "--help"])
    assert done.exit_code == 0
    for option in ("--json", "--quiet", "--verbose", "--no-color", "--debug"):
        assert option in done.output


def test_help_shows_the_defaults_of_the_dataclasses():
    told = " ".join(CliRunner().invoke(main, ["mine", "--help"]).output.split())
    for default in ("[default: coded]", "[default: 22]", "[default: 8.0]", "[default: by the budget]"):
        assert default in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mien"], "Did you mean 'mine'"),
        (["mine", "x", "--ratoi", "3"], "'--ratio'"),
        (["mine", "x", "--kind", "hierarchal"], "did you mean 'hierarchical'"),
        (["mine", "x", "--kind", "zzz"], "choose coded"),
        (["mine", "x", "--ratio", "many"], "'many' is not a valid float"),
        (["rebuild", "x"], "Missing option '--out'"),
        (["status"], "Missing argument 'RUN'"),
    ],
)
def test_wrong_usage_exits_2_and_suggests(arguments: list[str], said: str):
    done = CliRunner().invoke(main, arguments, prog_name="dna-ray")
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "dna_ray", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("dna-ray, version")
