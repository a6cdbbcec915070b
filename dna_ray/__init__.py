"""Mines the weights of trained networks into compact functions of coordinates, on Ray, with their lineage in MLflow."""

__version__ = "0.1.0"
