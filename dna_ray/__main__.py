"""`python -m dna_ray` is `dna-ray`."""

from dna_ray.cli import main

main(prog_name="dna-ray")
