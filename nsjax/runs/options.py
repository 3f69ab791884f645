"""How a script starts: its config from the command line, precision and compilation cache."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

Config = TypeVar("Config")


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
