"""Who is tried next: the machine, its archive and operators, and its rivals."""
