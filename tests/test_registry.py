"""Looking a name up loads none of what it names."""

import subprocess
import sys

import pytest

from rediffuse.errors import UserError
from rediffuse.samplers import SAMPLERS, ddim


@pytest.mark.parametrize(
    "module",
    [
        "rediffuse.registry",
        "rediffuse.samplers.registry",
        "rediffuse.data.registry",
        "rediffuse.evaluation.metrics",
        "rediffuse.evaluation.feature_networks",
    ],
)
def test_looking_a_name_up_needs_neither_torch_nor_numpy(module: str):
    heavy = {"torch", "numpy", "pandas", "scipy", "sklearn", "PIL", "pydantic"}
    subprocess.run([sys.executable, "-c", f"import sys, {module}; assert not {heavy} & set(sys.modules)"], check=True)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(UserError, match="sampler 'dim' is unknown; use one of ancestral, ddim"):
        SAMPLERS.find("dim")


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_found_where_its_entry_says(name: str):
    assert callable(SAMPLERS[name].run)


def test_a_package_offers_the_function_and_not_the_module_of_its_name():
    code = "import rediffuse.samplers.ddim; from rediffuse.samplers import ddim, plms; assert ddim.__name__ == 'ddim'"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ddim is SAMPLERS["ddim"].run
