"""Scores and statistics of images of any origin, with or without a study."""
