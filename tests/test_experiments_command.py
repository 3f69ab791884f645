import dataclasses
import importlib
import sys
import typing

import pytest

from experiments import __main__ as command
from nsjax import runs
from nsjax.runs.command import first_line


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one.py").write_text(
        '"""First experiment.\n\nMore words.\n"""\nimport sys\n\nprint("ran", sys.argv[1:])\n'
    )
    (tmp_path / "two.py").write_text("raise RuntimeError('must not run')\n")
    (tmp_path / "__init__.py").write_text('"""Not a script."""\n')
    return tmp_path


def test_list_runs_nothing(folder, capsys):
    for words in ([], ["list"]):
        assert command.main(words, folder) == 0
        text = capsys.readouterr().out
        assert "First experiment." in text
        assert "More words" not in text
        assert "two" in text
        assert "__init__" not in text


@pytest.mark.parametrize("name", ["one", "one.py"])
def test_run_with_the_remaining_words(folder, capsys, name):
    before = sys.argv
    assert command.main([name, "--preset", "full"], folder) == 0
    assert capsys.readouterr().out == "ran ['--preset', 'full']\n"
    assert sys.argv is before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["three"], "no experiment 'three'; there is: one, two"),
        (["ones"], "no experiment 'ones'; did you mean one?"),
        (["list", "one"], "`list` takes no settings, got one"),
        (["--one"], "unrecognized arguments: --one"),
    ],
)
def test_bad_words(folder, capsys, words, said):
    with pytest.raises(SystemExit) as leaving:
        command.main(words, folder)
    assert leaving.value.code == 2
    assert said in capsys.readouterr().err


def test_help_is_of_the_command_or_of_the_script(folder, capsys):
    with pytest.raises(SystemExit) as leaving:
        command.main(["--help"], folder)
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m experiments" in text
    assert "Exit code: 0; 1 where" in text
    assert command.main(["one", "--help"], folder) == 0
    assert capsys.readouterr().out == "ran ['--help']\n"


def test_the_exit_code_of_a_script_is_that_of_the_command(folder):
    (folder / "one.py").write_text("import sys\n\nsys.exit(1)\n")
    with pytest.raises(SystemExit) as leaving:
        command.main(["one"], folder)
    assert leaving.value.code == 1


def test_every_experiment_says_what_it_shows():
    assert all(first_line(path) for path in command.scripts().values())


@pytest.mark.parametrize("name", command.scripts())
def test_every_setting_is_on_the_command_line(name, capsys):
    """Of every experiment --help lists each field, and each preset has the name that it says."""
    script = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as leaving:
        runs.parse(script.Config, script.PRESETS, ["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(script.Config):
        assert f"--{field.name.replace('_', '-')}" in text
    names = typing.get_args(typing.get_type_hints(script.Config)["preset"])
    assert names == tuple(script.PRESETS)
    assert all(script.PRESETS[each].preset == each for each in names)
