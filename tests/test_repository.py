"""What holds for the repository as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "dna_ray").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LONGEST = 350  # lines of a module
# Registries' hosts, which a proxy or a mirror replaces, and places that exist on one machine only.
NAMED_BY_NONE = re.compile(
    r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|registry[.]npmjs|deb[.]debian[.]org"
    r"|[^\w.]/(?:work|root|home/\w+)[/]|shared[/]design"
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / line for line in listed if (ROOT / line).is_file()]


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if NAMED_BY_NONE.search(line)
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_says_what_it_is_and_is_short_enough(path: Path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring or not text
    assert not docstring or docstring.split("\n\n")[0].endswith((".", ":", "?"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the packages that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    # Imported where it is installed only; `make samples` brings it without its dependencies.
    ours = {"dna_ray", "efficientnet_lite_pytorch", *sys.stdlib_module_names}
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    used = {module for path in MODULES for module in imported(path)} - ours
    installed = packages_distributions()
    owners = {module: set(map(canonicalize_name, installed[module])) for module in used}
    assert not {module for module in used if not owners[module] & declared}
    assert not declared - set().union(*owners.values())


def test_the_lock_satisfies_every_range():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in locked.items()}
    for line in PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), []):
        wanted = Requirement(line)
        assert versions[canonicalize_name(wanted.name)] in wanted.specifier, line
