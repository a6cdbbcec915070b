"""Which weights go: layers, budgets, profiles, masks, and the network without them."""
