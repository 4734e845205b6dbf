"""What jobs do, where that is more than a few lines of their stage."""
