"""The `dna-ray` command: parses, calls a verb, prints. A verb's libraries are imported when it runs, not before."""

from dna_ray.cli import evolution, jobs, mining, models, records, training  # noqa: F401  (each registers its verbs)
from dna_ray.cli.root import cli as main

__all__ = ["main"]
