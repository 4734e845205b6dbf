"""Statistics files of any origin: ours with their cards, and those of clean-fid and pytorch-fid, which say less."""

import json
import re
from dataclasses import fields
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.evaluation.features import FeatureNetwork
from rediffuse.evaluation.reference import Reference, ReferenceIdentity, open_foreign_reference, open_reference

# clean-fid names its files <data set>_<mode>[_<model>]_<split>_<resolution>.npz.
_CLEANFID = re.compile(r"_(clean|legacy_tensorflow|legacy_pytorch)(_clip_vit_b_32)?_(train|test|trainfull|custom)_\w+$")
_OF_MODE = {"clean": "inception-v3-clean", "legacy_tensorflow": "inception-v3"}


def open_statistics(path: Path, network: FeatureNetwork) -> Reference:
    """Open an npz file with mu and sigma for comparison with features of `network`.

    If a card lies beside it, or its name is one that clean-fid gives, the network must be the one they say; the
    dimension must always be the network's. Raises UserError otherwise.
    """
    identity = _card(path)
    if identity is not None:
        _check_network(path, identity, network)
        reference = open_reference(path, identity)
    else:
        _check_name(path, network)
        stated = ReferenceIdentity(path.name, "not stated", None, network.name, network.resize)
        reference = open_foreign_reference(path, stated)
    if not reference.sigma.any():
        raise UserError(f"{path}: sigma is all zero: it was never filled, or is of one image only")
    if len(reference.mu) != network.dim:
        raise UserError(
            f"{path} has statistics of {len(reference.mu)} dimensions, {network.name} has {network.dim}: "
            "give a file made with that network, or choose the network it was made with (--features)"
        )
    return reference


def is_card(path: Path) -> bool:
    """Whether the JSON file `path` is the card of a statistics file."""
    return _read_card(path) is not None


def _card(path: Path) -> ReferenceIdentity | None:
    """What the card beside a statistics file says it was made from; None where there is no card."""
    card = path.with_suffix(".json")
    if not card.exists():
        return None
    identity = _read_card(card)
    if identity is None:
        raise UserError(f"{card} is not the card of statistics {path.name}: move it away, or make both again")
    return identity


def _read_card(card: Path) -> ReferenceIdentity | None:
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        return ReferenceIdentity(**{field.name: content[field.name] for field in fields(ReferenceIdentity)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_network(path: Path, identity: ReferenceIdentity, network: FeatureNetwork) -> None:
    ours = {"network": network.name, "resize": network.resize, "weights_sha256": network.card["weights_sha256"]}
    for name, wanted in ours.items():
        found = getattr(identity, name)
        if None not in (found, wanted) and found != wanted:
            raise UserError(
                f"statistics {path} were made with {name} {found[:20]}, not {wanted[:20]}: choose that one, "
                "or make them again with `rediffuse statistics`"
            )


def _check_name(path: Path, network: FeatureNetwork) -> None:
    match = _CLEANFID.search(path.stem)
    if match is None:
        return
    mode, model = match.group(1), match.group(2)
    made_with = None if model else _OF_MODE.get(mode)
    if made_with != network.name:
        use = f"use --features {made_with}" if made_with else "no network here gives such features"
        raise UserError(f"statistics {path} are clean-fid's of mode {mode}{model or ''}, not of {network.name}: {use}")
