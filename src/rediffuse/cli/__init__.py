"""The command line."""

import sys
from pathlib import Path


def main() -> None:
    """Run a verb. A stage of DVC's that has nothing to do ends here, before anything else is imported."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["build"] and _is_ready(words[1:]):
            return
        # The order of these modules is the order of the verbs in `rediffuse --help`.
        # isort: off
        from rediffuse.cli import studies, pipeline, verification, loose_images, exchange, diagnosing  # noqa: F401
        from rediffuse.cli.base import main as run
        # isort: on
    except KeyboardInterrupt:
        print("rediffuse: stopped before it began", file=sys.stderr)
        raise SystemExit(130) from None
    except EOFError:
        from rediffuse.errors import CUT_SHORT

        print(f"rediffuse: {CUT_SHORT}", file=sys.stderr)
        raise SystemExit(2) from None

    run()


def _is_ready(words: list[str]) -> bool:
    """Whether the job of `build STAGE` or `build STAGE RUN --seed N` is up to date, as far as a glance tells."""
    from rediffuse.pipeline.glance import is_ready

    if len(words) == 1:
        return is_ready(Path(), words[0], None, 0)
    if len(words) == 4 and words[2] == "--seed" and words[3].isdigit():
        return is_ready(Path(), words[0], words[1], int(words[3]))
    return False
