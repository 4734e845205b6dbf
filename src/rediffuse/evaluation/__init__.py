"""Evaluation: feature networks and pure functions from features to numbers."""
