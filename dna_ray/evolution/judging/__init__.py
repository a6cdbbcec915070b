"""How well agents do: the race, the test split, and what was computed beside what was measured."""
