"""Loss along the trainings of an experiment, side by side."""

import matplotlib.pyplot as plt
import numpy as np

from rediffuse.reporting.experiments.beside import training_name
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.results import Result
from rediffuse.reporting.read.trained import losses
from rediffuse.reporting.render.picture import DASHES, WIDTH, Picture, finish, handle, outside_legend, plain_log
from rediffuse.reporting.render.plots import PALETTE
from rediffuse.reporting.values import counted


def curves(material: Material, result: Result) -> Picture | None:
    """A line for each training, thin ones for its seeds where there are several."""
    known, drawn = losses(material.frames), {}
    for row in result.rows:
        run = material.loaded.run(row.member.run)
        # More seeds of a main run are a run of their own.
        names = [run.name] if run.overrides or run.of is None else [run.of, run.name]
        found = [one.rows for (name, _), one in known.items() if name in names]
        if found and training_name(result, row) not in drawn:
            drawn[training_name(result, row)] = found
    if len(drawn) < 2:
        return None
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    handles = []
    for place, (name, seeds) in enumerate(drawn.items()):
        colour, dash = PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)]
        steps = [step for step, _ in seeds[0]]
        for rows in seeds if len(seeds) > 1 else []:
            axes.plot(*zip(*rows, strict=True), color=colour, linewidth=0.7, alpha=0.45)
        alike = [[loss for _, loss in rows] for rows in seeds if [step for step, _ in rows] == steps]
        axes.plot(steps, np.mean(alike, axis=0), color=colour, linestyle=dash)
        handles.append(handle(name, colour, linestyle=dash))
    axes.set(xlabel="training step", ylabel="loss (each training's own objective)", yscale="log")
    plain_log(axes)
    outside_legend(figure, handles)
    most = max(map(len, drawn.values()))
    seeds_shown = f", the mean of {counted(most, 'training seed')}, single seeds thin" if most > 1 else ""
    caption = (
        f"Training loss, a point for each logged interval{seeds_shown}. Each is a loss of its own kind: read how soon "
        "and how evenly it falls, not how high it lies."
    )
    name = f"experiment-{result.planned.name}-curves"
    return finish(figure, name, caption, "Curves of the training loss, one for each training of the experiment.")
