"""Methods against each other: with and without search, at equal sparsity, data and number of evaluations."""
