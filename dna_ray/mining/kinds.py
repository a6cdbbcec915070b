"""The kinds of DNA.

To add one: write its file with a `Kind`, add its line here and its name in `config.KIND_NAMES`. The contract tests in
tests/mining/test_kinds.py then hold it to what all the others keep.
"""

from dna_ray.mining import coded, sines, svd, verbatim
from dna_ray.mining.kind import Kind

KINDS: dict[str, Kind] = {"coded": coded.KIND, **sines.KINDS, "svd": svd.KIND, "verbatim": verbatim.KIND}
