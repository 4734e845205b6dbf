"""`python -m rediffuse`."""

from rediffuse.cli import main

main()
