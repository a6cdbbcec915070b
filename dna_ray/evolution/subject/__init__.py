"""What a search is about: a dense network, its data, and what agents are judged by."""
