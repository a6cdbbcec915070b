"""The job that trains a small convolutional network on Fashion-MNIST: `dna-ray train-small NAME`, for a cluster.

    apt-get install dataset-fashion-mnist
    python jobs/train_small.py resnet18

Where it lies, DNA_RAY_CACHE says (`~/.cache/dna_ray`); on a cluster that must be storage that all nodes see. The same
command goes on where it was stopped, at the last epoch.
"""

import sys

from dna_ray.cli import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python jobs/train_small.py NAME [OPTIONS of dna-ray train-small]")
    main(["train-small", *sys.argv[1:]])
