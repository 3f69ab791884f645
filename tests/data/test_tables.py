import http.client
import sys
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets

from nsjax.data import load, tables


def write(path, table, delimiter=" ", header=""):
    np.savetxt(path, table, delimiter=delimiter, header=header, comments="")


@pytest.fixture
def airfoil(tmp_path):
    table = np.random.default_rng(0).standard_normal((1503, 6))
    write(tmp_path / "airfoil_self_noise.dat", table)
    return tmp_path, table


def test_an_airfoil_file_is_read(airfoil):
    folder, table = airfoil
    found = load("airfoil", folder)
    np.testing.assert_allclose(found.x, table[:, :5])
    np.testing.assert_allclose(found.y, table[:, 5:])
    assert found.inputs == ("frequency", "angle", "chord", "velocity", "thickness")
    assert found.targets == ("sound_pressure",)


@pytest.mark.parametrize("header", ["", "longitude,latitude,age,rooms,bedrooms,p,h,i,v"])
def test_a_california_file_is_what_scikit_learn_makes_of_it(tmp_path, header, monkeypatch):
    raw = 1 + np.random.default_rng(0).random((20640, 9)) * 1000
    write(tmp_path / "cal_housing.data", raw, ",", header)
    found = load("california", tmp_path)
    # scikit-learn's own steps, from a file that it has in its cache.
    import joblib

    order = [8, 7, 2, 3, 4, 5, 6, 1, 0]
    joblib.dump(raw[:, order], tmp_path / "cal_housing_py3.pkz", compress=6)
    theirs = sklearn.datasets.fetch_california_housing(
        data_home=tmp_path, download_if_missing=False
    )
    np.testing.assert_allclose(found.x, theirs.data)
    np.testing.assert_allclose(found.y[:, 0], theirs.target)
    assert list(found.inputs) == theirs.feature_names
    assert list(found.targets) == theirs.target_names


def test_bundled_sets_are_in_their_own_units():
    found = load("linnerud")
    assert found.x.shape == found.y.shape == (20, 3)
    assert found.targets == ("Weight", "Waist", "Pulse")
    np.testing.assert_array_equal(found.x, sklearn.datasets.load_linnerud().data)
    ages = load("diabetes").x[:, 0]
    assert (ages.min(), ages.max()) == (19, 79)


def test_a_block_without_households_is_named(tmp_path):
    raw = np.ones((20640, 9))
    raw[4, 6] = 0
    write(tmp_path / "cal_housing.data", raw, ",")
    with pytest.raises(ValueError, match=r"cal_housing.data: households must .* got 0 in row 5"):
        load("california", tmp_path)


def test_unknown_names_and_places(tmp_path):
    with pytest.raises(ValueError, match="airfoil"):
        load("airfoils")
    with pytest.raises(FileNotFoundError, match="data_dir must be a folder"):
        load("airfoil", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"airfoil_self_noise.dat.*1503 rows of 6.*UCI"):
        load("airfoil", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:1000], r"got 1000 rows of 6"),
        (lambda lines: [line.rsplit(" ", 1)[0] for line in lines], r"got 1503 rows of 5"),
        (lambda lines: [*lines[:7], "1 2 x 4 5 6", *lines[8:]], r"1503 rows of 6 numbers.*x"),
        (lambda lines: [*lines[:7], "1 2 nan 4 5 6", *lines[8:]], r"finite numbers.*row 8"),
        (lambda lines: [*lines[:-1], lines[-1][:30]], r"1503 rows of 6 numbers"),
    ],
)
def test_damaged_files_are_named(airfoil, damage, message):
    file = airfoil[0] / "airfoil_self_noise.dat"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(damage(lines)))
    with pytest.raises(ValueError, match=message) as caught:
        load("airfoil", airfoil[0])
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_text(airfoil):
    (airfoil[0] / "airfoil_self_noise.dat").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match="1503 rows of 6 numbers"):
        load("airfoil", airfoil[0])


@pytest.mark.parametrize(
    ("name", "fetcher", "wanted"),
    [
        ("airfoil", "fetch_openml", r"airfoil_self_noise.dat.*1503 rows of 6.*--data-dir.*UCI"),
        ("california", "fetch_california_housing", r"cal_housing.data.*20640 rows of 9"),
    ],
)
@pytest.mark.parametrize("error", [URLError("no network"), http.client.IncompleteRead(b"")])
def test_offline_it_says_where_to_get_the_file(monkeypatch, name, fetcher, wanted, error):
    def offline(*args, **kwargs):
        raise error

    monkeypatch.setattr(sklearn.datasets, fetcher, offline)
    with pytest.raises(ConnectionError, match=wanted):
        load(name)


def test_what_is_fetched_is_checked(monkeypatch):
    """Columns go by their names; other names and sizes are refused."""

    class Found:
        data, feature_names = np.zeros((10, 6)), sorted(tables._OPENML_COLUMNS)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *args, **kwargs: Found)
    with pytest.raises(ConnectionError, match="got 10 rows of 6"):
        load("airfoil")
    Found.data = np.tile(np.arange(6.0), (1503, 1))
    found = load("airfoil")
    np.testing.assert_array_equal(np.hstack(found[:2])[0], [4, 0, 1, 3, 2, 5])
    Found.feature_names = list("abcdef")
    with pytest.raises(ConnectionError, match="44957 lacks the columns"):
        load("airfoil")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"nsjax\[run\]"):
        tables.load("airfoil")
