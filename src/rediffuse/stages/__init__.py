"""The stages of a study, one a file: `STAGE` says what it is, `run` does it. They are found by looking here."""
