import os
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "dna_ray"

# What the tests of a folder share lies beside them, and is imported by its plain name.
sys.path[:0] = [str(TESTS), *sorted(str(folder) for folder in TESTS.iterdir() if folder.is_dir())]
os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
torch.set_num_threads(1)

# Modules that write shapes into their annotations have them checked at every call. Not what Ray sends to its workers:
# a wrapped closure cannot be pickled.
SHAPED = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "from jaxtyping import" in path.read_text() and path.parent.name != "distributed"
]
install_import_hook(SHAPED, "shapes.checked")

MAY_NOT_BE_SKIPPED = ("browser", "samples")  # with DNA_RAY_CI=1, which promises that what they need is there


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    marks = [name for name in MAY_NOT_BE_SKIPPED if item.get_closest_marker(name)]
    if report.skipped and marks and os.environ.get("DNA_RAY_CI") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]}, and DNA_RAY_CI=1 lets no test marked {marks[0]} be skipped"
    return report
