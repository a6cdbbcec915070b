"""How sparsely a network may run, and which program decides it."""
