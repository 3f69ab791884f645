import sys

import pytest

from experiments import __main__ as command


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


def test_unknown_name(folder, capsys):
    assert command.main(["three"], folder) == 2
    assert "no experiment 'three'; there is: one, two" in capsys.readouterr().err


def test_every_experiment_says_what_it_shows():
    assert all(command.first_line(path) for path in command.scripts().values())
