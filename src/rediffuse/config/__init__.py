"""What a study says: validated, with defaults inherited, resolved run by run."""

from rediffuse.config.generators import ResolvedGenerator
from rediffuse.config.load import LoadedStudy, load_study
from rediffuse.config.study import ResolvedRun, Study

__all__ = ["LoadedStudy", "ResolvedGenerator", "ResolvedRun", "Study", "load_study"]
