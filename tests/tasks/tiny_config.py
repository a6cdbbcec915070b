"""Sizes of the small random networks that the tests of tasks build."""

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
