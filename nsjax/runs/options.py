"""How a script starts: its config from the command line, precision and compilation cache.

Beside its own settings every script takes words about the job:

    --resume FOLDER     go on with a run, with the settings it was begun with
    --mix-versions      go on although other versions computed what is there
    --local N           start N processes on this machine that share the points, each with a GPU of
                        its own or a share of the cores
    --distributed       be one of several processes that share the points; --coordinator HOST:PORT
                        --processes N --process I where JAX cannot read them off the cluster
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from nsjax.runs import job, local, processes
from nsjax.runs.reading import read_manifest
from nsjax.runs.storage import RunError

Config = TypeVar("Config")

_JOB = """
About the job: --resume FOLDER goes on with a run, with the settings it was begun with;
--mix-versions also where other versions computed what is there; --local N starts N processes on
this machine that share the points, each with a GPU of its own or a share of the cores;
--distributed is one of several such processes, with --coordinator HOST:PORT --processes N
--process I where they cannot be read off the cluster.
"""


def script(
    main: Callable[[Config], Any],
    config_class: type[Config],
    presets: Mapping[str, Config],
    args: Sequence[str] | None = None,
    *,
    description: str | None = None,
) -> int:
    """Runs a script: reads its command line, calls `main(config)`, and says what went wrong.

    Figures are drawn without a display. SIGTERM interrupts like Ctrl-C.

    Args:
        main: of the script.
        config_class, presets, args, description: see `parse`.

    Returns:
        The exit code: 0; 1 where a run folder or a file cannot be used; 130 if interrupted; of
        several processes 75 where another one is lost, 76 with an error.

    Raises:
        SystemExit: as `parse` and `main` do.
    """
    import matplotlib

    matplotlib.use("Agg")
    given = list(sys.argv[1:] if args is None else args)

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        words, distributed, started = _begin(given)
        config = parse(config_class, presets, words, description=(description or "") + _JOB)
        if started is not None:
            if given != sys.argv[1:]:
                raise RunError("--local must be on the command line of the process")
            return local.run(*started)
        if distributed is not None:
            local.end_with_parent()
            mine = processes.join(job.current().words[1:], *distributed)
            if not mine.leads:  # tables are the first one's to print
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        main(config)
    except KeyboardInterrupt:
        folder = job.current().opened or job.current().resume
        again = f"; go on with --resume {folder}" if folder else ""
        if processes.current().leads:
            print(f"interrupted{again}", file=sys.stderr)
        code = 130
    except (RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except BaseException as error:
        if processes.current().count == 1:
            raise
        # One of several ends at once: the way out would wait for the others.
        code = 1
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        elif isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        else:
            code = error.code or 0
    else:
        code = 0
    finally:
        signal.signal(signal.SIGTERM, before)
    if code and processes.current().count > 1:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code if code == 130 else processes.FAILED)
    return code


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What a setting is refused with ends the script with a line instead of a traceback.

    Raises:
        SystemExit: with the text of a TypeError, ValueError, OSError or ImportError.
    """
    try:
        yield
    except (TypeError, ValueError, OSError, ImportError) as problem:
        raise SystemExit(f"error: {problem}") from problem


def among(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses a setting that names something unknown; for use within `refusals`.

    Args:
        name: of the setting.
        given: what it names.
        known: what it may name.

    Raises:
        ValueError: with the setting, what is known and what came.

    >>> among("tasks", ["ring"], ["line", "ring"])
    """
    known = tuple(known)
    for each in given:
        if each not in known:
            raise ValueError(f"{name} must be among {', '.join(known)}, got {each!r}")


def _begin(
    words: list[str],
) -> tuple[list[str], tuple[Any, Any, Any] | None, tuple[list[str], int] | None]:
    """Takes the words about the job off a command line.

    Returns:
        The others; where to meet others of several processes, if this is one; and the words of
        processes to be started, and how many, if any.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, prog=Path(sys.argv[0]).name
    )
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--mix-versions", action="store_true")
    parser.add_argument("--local", type=int)
    parser.add_argument("--distributed", action="store_true")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    said, rest = parser.parse_known_args(words)
    among = (said.coordinator, said.processes, said.process)
    if any(each is not None for each in among) and not said.distributed:
        parser.error("--coordinator, --processes and --process belong to --distributed")
    if said.local is not None and said.distributed:
        parser.error("--local starts the processes by itself, without --distributed")
    started = None
    if said.local is not None:
        resume = [] if said.resume is None else ["--resume", str(said.resume)]
        mix = ["--mix-versions"] if said.mix_versions else []
        started = [*rest, *resume, *mix], said.local
    if said.resume is not None:
        if rest:
            parser.error(f"--resume takes the settings of the run, got {' '.join(rest)}")
        rest = _settings(said.resume)
    job.begin(job.Job([sys.argv[0], *rest], said.resume, said.mix_versions))
    return rest, among if said.distributed else None, started


def _settings(folder: Path) -> list[str]:
    """The words that a run was begun with, and its root."""
    manifest = read_manifest(folder)
    command, name = manifest["command"], Path(sys.argv[0]).stem
    if not isinstance(command, list) or not command:
        raise RunError(f"{folder} does not say with which words it was begun")
    if name not in (manifest["experiment"], Path(str(command[0])).stem):
        raise RunError(f"{folder} is a run of {manifest['experiment']}, not of {name}")
    words = [str(word) for word in command[1:]]
    for place in [i for i, word in enumerate(words) if word == "--root"][::-1]:
        del words[place : place + 2]
    words = [word for word in words if not word.startswith("--root=")]
    return [*words, "--root", str(folder.absolute().parent.parent)]


def parse(
    config_class: type[Config],
    presets: Mapping[str, Config],
    args: Sequence[str] | None = None,
    *,
    description: str | None = None,
) -> Config:
    """Reads a script's config from the command line.

    The preset is found first, so that `--help` shows every setting with that preset's value, and
    any setting can be overridden.

    Args:
        config_class: a frozen dataclass with a field `preset: Literal["quick", "full"]` or alike.
        presets: a config for each name; `presets[name].preset` must be `name`.
        args: words of the command line; those of the process by default.
        description: text for `--help`; the docstring of the class by default.

    Raises:
        ValueError, TypeError: if class and presets do not fit together.
        ImportError: if tyro is not installed.
        SystemExit: with code 2 for bad words, an unknown preset among them; with 0 after `--help`.
    """
    if not dataclasses.is_dataclass(config_class):
        raise TypeError(f"config_class must be a dataclass, got {config_class!r}")
    if not presets:
        raise ValueError("presets must hold at least one config")
    for name, config in presets.items():
        if not isinstance(config, config_class) or getattr(config, "preset", None) != name:
            raise ValueError(f"presets[{name!r}] must be a {config_class.__name__} of that preset")
    try:
        import tyro
    except ImportError as error:
        raise ImportError("the command line needs tyro: pip install 'nsjax[run]'") from error

    words = list(sys.argv[1:] if args is None else args)
    name = _chosen_preset(words, config_class, presets)
    if name not in presets:
        choices = ", ".join(presets)
        print(f"error: --preset: {name!r} is none of: {choices}", file=sys.stderr)
        raise SystemExit(2)
    return tyro.cli(config_class, default=presets[name], args=words, description=description)


def _chosen_preset(
    words: Sequence[str], config_class: type[Config], presets: Mapping[str, Config]
) -> str:
    chosen = next(iter(presets))
    default = getattr(config_class, "preset", None)
    if isinstance(default, str) and default in presets:
        chosen = default
    for word, following in zip_longest(words, words[1:]):
        if word == "--preset" and following is not None and not following.startswith("-"):
            chosen = following
        elif word.startswith("--preset="):
            chosen = word.removeprefix("--preset=")
    return chosen


def setup(*, x64: bool = True, cache: str | os.PathLike[str] | None = None) -> Path | None:
    """Sets JAX up for a script: float64, and compiled code kept from one process to the next.

    Never called by importing the library; a script calls it before its first computation.

    Args:
        x64: whether Python floats become float64. Work near saddles needs it.
        cache: folder for compiled code. By default the environment variable `NSJAX_CACHE`, or
            else `~/.cache/nsjax/jax`. An empty variable means no cache.

    Returns:
        The folder of the cache, or None if there is none: it was switched off, or the folder
        could not be made, which is said on stderr.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    jax.config.update("jax_enable_x64", x64)
    if cache is None:
        cache = os.environ.get("NSJAX_CACHE", "~/.cache/nsjax/jax")
    if not os.fspath(cache):
        return None
    folder = Path(cache).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"nsjax: compiled code is not kept between processes: {error}", file=sys.stderr)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX looks at the folder once; forget that look, in case something was compiled already.
    compilation_cache.reset_cache()
    return folder
