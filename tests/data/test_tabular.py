"""Tables: what is read is what was written, and every bad file is named with its fault."""

import builtins

import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import data


@pytest.fixture
def saved(tmp_path):
    """Writes an npz file and returns its path."""

    def save(**arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return path

    return save


def test_npz_gives_back_the_arrays(saved):
    """A vector of targets is one column; integers become floats of the dtype asked for."""
    x, y = np.arange(6).reshape(3, 2), np.array([0.5, -1.0, 2.0])
    read_x, read_y = data.read_npz(saved(x=x, y=y, more=np.zeros(4)))
    np.testing.assert_array_equal(read_x, x)
    np.testing.assert_array_equal(read_y, y[:, None])
    assert read_x.dtype == read_y.dtype == np.float64
    assert data.read_npz(saved(x=x, y=x), dtype=jnp.float32)[1].dtype == np.float32


@pytest.mark.parametrize("labels", [np.array([2, 0, 2]), np.array([[1], [0], [1]], bool)])
def test_labels_stay_integers_where_they_are_wanted(saved, labels):
    path = saved(x=np.ones((3, 2)), y=labels)
    _, y = data.read_npz(path, labels=True)
    np.testing.assert_array_equal(y, labels.reshape(3, 1))
    assert jnp.issubdtype(y.dtype, jnp.integer)
    assert data.read_npz(path)[1].dtype == np.float64
    assert data.read_npz(saved(x=np.ones((3, 2)), y=np.ones(3)), labels=True)[1].dtype == np.float64


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"x": np.ones((3, 2))}, ValueError, r"set.npz must hold the arrays x and y, got \['x'\]"),
        ({"a": np.ones(3)}, ValueError, r"must hold the arrays x and y, got \['a'\]"),
        (
            {"x": np.ones((3, 2)), "y": np.ones((4, 1))},
            ValueError,
            "must have one row per sample, got 3 and 4",
        ),
        ({"x": np.ones(3), "y": np.ones(3)}, ValueError, "x of .*set.npz must be a matrix of rank"),
        (
            {"x": np.ones((3, 2)), "y": np.ones((3, 1, 1))},
            ValueError,
            "y of .*set.npz must be a matrix of rank 2",
        ),
        (
            {"x": np.array([[1.0, np.nan]]), "y": np.ones(1)},
            ValueError,
            "x of .*set.npz must be finite, got 1 NaN",
        ),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, ValueError, "must not be empty"),
        (
            {"x": np.array([["a"]]), "y": np.ones(1)},
            TypeError,
            "x of .*set.npz must hold real numbers, got dtype <U1",
        ),
        ({"x": np.array([[1j]]), "y": np.ones(1)}, TypeError, "must hold real numbers"),
        (
            {"x": np.array([{}]), "y": np.ones(1)},
            ValueError,
            "must be an npz file of plain arrays: Object arrays cannot be loaded",
        ),
    ],
)
def test_bad_arrays_are_refused(saved, arrays, error, message):
    """The message names the file, the array and the fault."""
    with pytest.raises(error, match=message):
        data.read_npz(saved(**arrays))


def test_bad_files_are_refused(tmp_path):
    """A missing file, a folder, no archive at all, a lone array."""
    with pytest.raises(FileNotFoundError, match=r"there is no data file .*none\.npz"):
        data.read_npz(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="there is no data file"):
        data.read_npz(tmp_path)
    for name, content in (
        ("text.npz", b"x, y\n1, 2\n"),
        ("empty.npz", b""),
        ("cut.npz", b"PK\3\4"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} must be an npz file of plain arrays"):
            data.read_npz(tmp_path / name)
    np.save(tmp_path / "lone.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"lone.npy must be an npz file of plain arrays"):
        data.read_npz(tmp_path / "lone.npy")


@pytest.mark.parametrize(
    ("name", "shapes"), [("diabetes", ((442, 10), (442, 1))), ("linnerud", ((20, 3), (20, 3)))]
)
def test_bundled_sets_are_standardised(name, shapes):
    """Inputs and targets have mean 0 and standard deviation 1 in every column."""
    pair = data.bundled(name)
    for table, shape in zip(pair, shapes, strict=True):
        assert table.shape == shape
        np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-13)
        np.testing.assert_allclose(table.std(axis=0), 1, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("breast_cancer", ((569, 30), (569, 1))),
        ("digits", ((1797, 61), (1797, 10))),
        ("iris", ((150, 4), (150, 3))),
        ("wine", ((178, 13), (178, 3))),
    ],
)
def test_bundled_classes(name, shapes):
    """Inputs that vary are standardised; labels are -1 and 1, or one-hot."""
    x, y = data.bundled(name)
    assert (x.shape, y.shape) == shapes
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-12)
    inputs, classes = data.column_names(name)
    assert len(inputs) == x.shape[1]
    if y.shape[1] == 1:
        assert set(np.asarray(y).ravel()) == {-1, 1}
        assert classes[int(y[0, 0] > 0)] == "malignant"
    else:
        np.testing.assert_array_equal(np.sort(y, axis=1)[:, -2:], [[0, 1]] * len(y))
        assert len(classes) == y.shape[1]
        assert y[0, 0] == 1
    assert set(data.CLASSES).isdisjoint(data.BUNDLED)


def test_names_of_columns():
    """As scikit-learn has them; a single target is named after the set."""
    inputs, targets = data.column_names("diabetes")
    assert inputs[2] == "bmi"
    assert targets == ("diabetes",)
    assert data.column_names("linnerud")[1] == ("Weight", "Waist", "Pulse")
    assert data.column_names("digits")[0][:2] == ("pixel_0_1", "pixel_0_2")


def test_unknown_bundled_set_and_missing_package(monkeypatch):
    """The names that there are; how to install what is missing."""
    with pytest.raises(ValueError, match=r"name must be one of 'diabetes', .*, got 'boston'"):
        data.bundled("boston")
    plain = builtins.__import__

    def without_sklearn(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match=r"needs scikit-learn: pip install 'nsjax\[run\]'"):
        data.bundled("diabetes")


def test_constant_columns_cannot_be_standardised():
    """Also one that is constant up to rounding."""
    table = np.random.default_rng(0).normal(size=(50, 3))
    table[:, 1] = 0.1
    with pytest.raises(ValueError, match=r"x must vary over its rows, got constant columns \[1\]"):
        data.standardised("x", table)


def test_data_by_name(saved):
    """A bundled set, a file, and a message that says what there is."""
    np.testing.assert_array_equal(data.by_name("linnerud")[1], data.bundled("linnerud")[1])
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(data.by_name(f"npz:{saved(x=x, y=x[:, 0])}")[0], x)
    wanted = "tasks must be one of ring, diabetes, linnerud or npz:FILE, got 'wine'"
    with pytest.raises(ValueError, match=wanted):
        data.by_name("wine", argument="tasks", others=("ring",))
    with pytest.raises(TypeError, match=r"name must be one of .* or npz:FILE, got None"):
        data.by_name(None)
