"""The job that evolves a population: `dna-ray evolve --recipe RECIPE`, for a cluster. As in `mine.py`.

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . \\
        --runtime-env-json '{"excludes": [".git", ".venv", "runs"], "env_vars": {"DNA_RAY_HOME": "/shared/runs"}}' \\
        -- python jobs/evolve.py jobs/recipes/evolve-minilm.yaml --set what.sparsity=0.7
"""

import sys

from dna_ray.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python jobs/evolve.py RECIPE [OPTIONS of dna-ray evolve]")
    main(["evolve", "--recipe", *sys.argv[1:]])
