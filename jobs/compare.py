"""The job that compares kinds of DNA: `dna-ray compare --recipe RECIPE`, for a cluster. As in `mine.py`.

dna-ray submit RECIPE --address http://HEAD:8265     # the same, with checks before and retries after
"""

import sys

from dna_ray.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python jobs/compare.py RECIPE [OPTIONS of dna-ray compare]")
    main(["compare", "--recipe", *sys.argv[1:]])
