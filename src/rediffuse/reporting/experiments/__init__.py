"""What is concluded from the frames: cells, comparisons, verdicts on claims, ablations beside their runs."""
