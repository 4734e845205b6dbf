"""Held-out splits that are the same on every machine, because they use no random generator."""

import hashlib

import numpy as np


def stratified_held_out(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Mark `count` images as held out (bool [N]), each class in proportion to its size.

    Classes get the whole part of their share and the largest remainders one more (ties: the lower class). Within a
    class the images with the smallest SHA-256 of "name/index" are taken, so the split depends on nothing but the
    labels' order, `count` and `name`.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"cannot hold out {count} of {len(labels)} images")
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count / max(len(labels), 1)
    quotas = np.floor(shares).astype(int)
    by_remainder = np.argsort(-(shares - quotas), kind="stable")
    quotas[by_remainder[: count - quotas.sum()]] += 1
    held_out = np.zeros(len(labels), dtype=bool)
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        keys = [hashlib.sha256(f"{name}/{index}".encode()).digest() for index in members]
        order = sorted(range(len(members)), key=keys.__getitem__)
        held_out[members[order[:quota]]] = True
    return held_out
