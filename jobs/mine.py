"""The job that mines a network: `dna-ray mine --recipe RECIPE`, for a cluster.

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . \\
        --runtime-env-json '{"excludes": [".git", ".venv", "runs"], "env_vars": {"DNA_RAY_HOME": "/shared/runs"}}' \\
        -- python jobs/mine.py jobs/recipes/minilm.yaml --set what.ratio=44

DNA_RAY_HOME, or `home` in the recipe, must lie on storage that all nodes see: Ray deletes a job's working directory.
The same command continues a run that was stopped. Progress goes to the job's log, and the exit code is that of
`dna-ray`, so that a job that fails is shown as failed. `dna-ray submit RECIPE --address http://HEAD:8265` does all this
by itself, looks at the cluster before, and submits again what was lost.
"""

import sys

from dna_ray.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python jobs/mine.py RECIPE [OPTIONS of dna-ray mine]")
    main(["mine", "--recipe", *sys.argv[1:]])
