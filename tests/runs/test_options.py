import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from nsjax import runs


@dataclass(frozen=True)
class Config:
    """Follow an escape."""

    preset: Literal["quick", "full"] = "quick"
    """Which settings to start from."""
    delta_min: float = 1e-4
    """Smallest distance from the saddle."""
    widths: tuple[int, ...] = (3, 1)
    """Widths of the layers."""


PRESETS = {"quick": Config(), "full": Config(preset="full", delta_min=1e-8, widths=(20, 20, 1))}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], PRESETS["quick"]),
        (["--preset", "full"], PRESETS["full"]),
        (["--preset=full"], PRESETS["full"]),
        (["--delta-min", "1e-3", "--preset", "full"], Config("full", 1e-3, (20, 20, 1))),
        (["--widths", "4", "5", "1"], Config(widths=(4, 5, 1))),
    ],
)
def test_presets_and_overrides(words, wanted):
    assert runs.parse(Config, PRESETS, words) == wanted


@pytest.mark.parametrize(("words", "delta"), [([], "1e-4|0.0001"), (["--preset", "full"], "1e-08")])
def test_help_lists_every_setting_with_the_presets_values(capsys, words, delta):
    with pytest.raises(SystemExit) as leaving:
        runs.parse(Config, PRESETS, [*words, "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    for setting in ("--preset", "--delta-min", "--widths", "Smallest distance"):
        assert setting in text
    assert any(value in text for value in delta.split("|"))


@pytest.mark.parametrize("words", [["--preset", "huge"], ["--preset=huge"]])
def test_unknown_preset(capsys, words):
    with pytest.raises(SystemExit) as leaving:
        runs.parse(Config, PRESETS, words)
    assert leaving.value.code == 2
    assert "'huge' is none of: quick, full" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--nothing", "1"], ["--delta-min", "small"], ["--preset"]])
def test_bad_words_leave_with_2(words):
    with pytest.raises(SystemExit) as leaving:
        runs.parse(Config, PRESETS, words)
    assert leaving.value.code == 2


def test_presets_must_fit():
    with pytest.raises(ValueError, match=r"presets\['full'\] must be a Config of that preset"):
        runs.parse(Config, {"full": Config()}, [])
    with pytest.raises(ValueError, match="at least one config"):
        runs.parse(Config, {}, [])
    with pytest.raises(TypeError, match="must be a dataclass"):
        runs.parse(int, {"quick": 3}, [])


def test_missing_tyro_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(ImportError, match=r"pip install 'nsjax\[run\]'"):
        runs.parse(Config, PRESETS, [])


def python(code, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout.split()


def test_importing_changes_nothing_and_stays_light():
    code = """
import sys
import nsjax.runs
print(*[name for name in ("jax", "tyro", "tqdm", "matplotlib", "rich") if name in sys.modules])
import jax
print(jax.config.values["jax_enable_x64"], jax.config.values["jax_compilation_cache_dir"])
"""
    assert python(code, JAX_ENABLE_X64="0", JAX_COMPILATION_CACHE_DIR="") in (
        ["False", "None"],
        ["False"],
    )


CODE = """
import jax, jax.numpy as jnp
jax.jit(lambda x: x + 1)(1.0)
from nsjax import runs
print(runs.setup())
assert jnp.asarray(1.0).dtype == jnp.float64
jax.jit(lambda x: jnp.sin(x) + 2)(1.0).block_until_ready()
"""


def test_setup_keeps_compiled_code(tmp_path):
    folder = tmp_path / "a" / "cache"
    assert python(CODE, NSJAX_CACHE=str(folder)) == [str(folder)]
    assert any(folder.iterdir())


def test_setup_without_a_cache(tmp_path):
    assert python(CODE, NSJAX_CACHE="") == ["None"]
    (tmp_path / "file").write_text("")
    assert python(CODE, NSJAX_CACHE=str(tmp_path / "file" / "cache")) == ["None"]


def test_names_that_are_not_known_are_refused():
    runs.among("tasks", (), ("line",))
    with (
        pytest.raises(SystemExit, match=r"^error: tasks must be among line, ring, got 'cube'$"),
        runs.refusals(),
    ):
        runs.among("tasks", ("ring", "cube"), {"line": 1, "ring": 2})
