"""A run of a study and its files: what follows from its settings, its networks, its samples, and what judges them."""
