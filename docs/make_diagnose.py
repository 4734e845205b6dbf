"""Prints docs/diagnose.md: `python docs/make_diagnose.py > docs/diagnose.md`. A test keeps the page current."""

from rediffuse.diagnosis.checks import CHECKS
from rediffuse.reporting.render.table import markdown_escape

INTRODUCTION = (
    """# What is wrong with a model

Written by `python docs/make_diagnose.py`; a test keeps it current. `rediffuse diagnose` takes a trained run, or weights
that lie somewhere else, and real images, and says what is wrong, the cause before its consequences:

    rediffuse diagnose improved                             # a run of the active study
    rediffuse diagnose published/improved --data digits     # a folder as `rediffuse export` or diffusers writes it

"""
    "Weights are those that [`rediffuse import`](exchange.md) reads, with the same options where they are silent; "
    "images are a\n"
    "data set in `data/`, a folder or archive of pictures (a tenth held out, unless it has `train` and `test`; "
    "folders are\n"
    "classes), or an array. The exit code is 1 when something is wrong, 0 when nothing is, "
    "2 when the command cannot be\n"
    "carried out. `diagnosis/NAME/` (or `--output`) gets `page.html`, with figures, and `findings.json`, "
    "the same bytes each\n"
    "time on one machine.\n"
    """
## How it looks

"""
    "- **On noisy real images.** The network removes known noise from `--images` training images (64), "
    "at twelve noise levels\n"
    "  spread evenly in log-SNR. On pure noise no estimate can be judged: "
    "the best possible one is far from unit variance there.\n"
    "- **Against a filter.** The yardstick is the best linear filter that treats each frequency by itself (Wiener): "
    "its error\n"
    "  a²λ/(a²λ + s²) follows from the spectrum of the images, needs no training, and makes noise levels, "
    "schedules and\n"
    "  predictions comparable.\n"
    "- **Under other readings.** The same images and noise are given in other ranges, orders of channels, "
    "counts of time, and\n"
    "  read as other predictions and schedules. "
    "A network is best at what it was trained for: where another reading leaves\n"
    "  clearly less error (paired over images, more than four standard errors), that is what it was trained for.\n"
    """- **By what it draws.** As many samples by DDIM (`--steps`, 20) are compared with real images.
- **In the order of causes.** The first finding names the root. Those below may be its consequences: mend the first, and
  look again. A cast of colour that comes with a large error of another kind is put last.

"""
    "Which weights are raw and which averaged is told from a run's last snapshot, "
    "from `unet` and `unet_ema` of a training with\n"
    "diffusers, from IDDPM's names of files, or from `--other`. "
    "Copies are looked for among 10,000 training images at most.\n"
    "Flows and models of one pass are refused: they have no noise levels to look at.\n"
    """
## The checks

"""
)


def main() -> None:
    """Print the page."""
    print(
        INTRODUCTION
        + "| Check | What is measured | Limit | Why this limit | What to do |\n| --- | --- | --- | --- | --- |"
    )
    for check in CHECKS.values():
        cells = (check.title, check.measures, check.limit, check.reason, check.remedy)
        print(f"| {' | '.join(markdown_escape(cell).replace('|', chr(92) + '|') for cell in cells)} |")


if __name__ == "__main__":
    main()
