"""What a build survives, measured: docs/reliability.md is written from what these scripts find."""
