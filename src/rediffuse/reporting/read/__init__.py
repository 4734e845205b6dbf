"""Files on disk become tidy frames; the only part of a report that reads."""
