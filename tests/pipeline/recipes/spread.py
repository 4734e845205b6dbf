"""How far features spread: an example."""


def spread(scorer, features):
    """Standard deviation of all features of one group."""
    return float(features.features.std())
