"""Colours of samples beside those of real images: does every image have one hue, and does the batch have a cast?"""

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import REAL_LINES, every_run, setting_title
from rediffuse.reporting.values import NOT_ASKED, Value

COLUMNS = {
    "images": "n",
    "red": "Mean red",
    "green": "Mean green",
    "blue": "Mean blue",
    "cast": "Cast",
    "between": "Variance between images (%)",
    "saturation": "Saturation",
    "hue": "Mean hue (°)",
    "hue_within": "Hues of one image agree",
    "hue_across": "Hues of all images agree",
}


def table(frames: Frames) -> Table | str | None:
    """Colour statistics of every setting that was scored, of held-out images and of noise; a sentence where images are
    grey; None where nothing was scored.
    """
    if frames.colours.empty:
        return "The images are grey: there are no colours to compare." if len(frames.quality) else None
    labels = {model.name: model.label for model in every_run(frames.loaded)}
    real = frames.colours["run"] == "real"
    rows = Rows()
    # As in the file, but real images last.
    for row in [*frames.colours[~real].to_dict("records"), *frames.colours[real].to_dict("records")]:
        shown = [_value(name, row[name]) for name in COLUMNS]
        who: list[Value] = [REAL_LINES.get(row["setting"], ""), NOT_ASKED, NOT_ASKED]
        if row["run"] != "real":
            who = [labels[row["run"]], setting_title(frames.loaded, row["run"], row["setting"]), int(row["seed"])]
        rows.add(*who, *shown, frames.pedigree.links([row["file"]]))
    columns = headers("Images | Setting | Seed", COLUMNS.values(), "From")
    caption = "Colours of samples, of held-out images and of noise, channels in [0, 1]."
    note = (
        "Cast: distance of the mean colour from that of all held-out images. Hues agree: length of their mean "
        "direction, each pixel or image weighted by its colour; 1 when all are of one hue. A batch in which every "
        "image has the same hue has 1 in the second where real images have less."
    )
    marked = frozenset(range(len(rows) - int(real.sum()), len(rows)))
    return Table("colours", caption, columns, rows, (note,), marked)


def _value(name: str, value: float | None) -> Value:
    # What a batch does not have, as grey pixels have no hue, is None, or NaN in a column of numbers.
    if value is None or value != value:
        return NOT_ASKED
    return 100 * value if name == "between" else value


def chapter(material: Material) -> Chapter | None:
    """The colours of coloured images."""
    return chapter_of("colours", "Colours", table(material.frames))
