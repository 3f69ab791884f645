"""Run folders, the command line and the terminal, for scripts around the library.

A run is a folder that says how its numbers came to be: a manifest, one cell per point of a sweep,
results, figures and a log. Opening the same config again resumes the same folder, and its
finished cells are skipped. Nothing here depends on the rest of the library.
"""

from nsjax.runs.cells import Cell
from nsjax.runs.checkpoints import Checkpoints
from nsjax.runs.folder import open_run
from nsjax.runs.identity import config_hash
from nsjax.runs.memory import peak_memory
from nsjax.runs.options import among, parse, refusals, script, setup
from nsjax.runs.reading import Past, load, read_manifest, read_results
from nsjax.runs.run import Run
from nsjax.runs.storage import RunError, from_json, to_json, write_json
from nsjax.runs.terminal import counter, print_table, progress
from nsjax.runs.warm import Compilations

__all__ = [
    "Cell",
    "Checkpoints",
    "Compilations",
    "Past",
    "Run",
    "RunError",
    "among",
    "config_hash",
    "counter",
    "from_json",
    "load",
    "open_run",
    "parse",
    "peak_memory",
    "print_table",
    "progress",
    "read_manifest",
    "read_results",
    "refusals",
    "script",
    "setup",
    "to_json",
    "write_json",
]
