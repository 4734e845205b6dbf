"""What a study says: validated, with defaults inherited, resolved run by run. Data,
and nothing that decides a number.
"""

from rediffuse.config.load import LoadedStudy, load_study
from rediffuse.config.study import ResolvedRun, Study

__all__ = ["LoadedStudy", "ResolvedRun", "Study", "load_study"]
