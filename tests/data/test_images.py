import numpy as np
import pytest

from nsjax import data


def made(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 32, 32, 3), np.uint8), rng.integers(0, 10, n).astype(np.uint8)


def write_batches(folder, count=4):
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for i, name in enumerate((*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")):
        x, y = made(count, i)
        planes = x.transpose(0, 3, 1, 2).reshape(count, -1)
        np.concatenate([y[:, None], planes], axis=1).tofile(folder / name)
        written.append((x, y))
    return written


@pytest.mark.parametrize("within", [".", "cifar-10-batches-bin"])
def test_binary_batches(tmp_path, within):
    *train, test = write_batches(tmp_path / within)
    found = data.cifar10(tmp_path)
    np.testing.assert_array_equal(found.x_train, np.concatenate([x for x, _ in train]))
    np.testing.assert_array_equal(found.y_train, np.concatenate([y for _, y in train]))
    np.testing.assert_array_equal(found.x_test, test[0])
    assert found.classes == 10


@pytest.mark.parametrize("as_folder", [True, False])
def test_npz_files(tmp_path, as_folder):
    (x, y), (fresh, labels) = made(6), made(3, 1)
    file = tmp_path / "some.npz"
    np.savez(file, x_train=x, y_train=y, x_test=fresh, y_test=labels)
    found = data.cifar10(tmp_path if as_folder else file)
    np.testing.assert_array_equal(found.x_train, x)
    assert found.y_test.dtype == np.int32


def test_nothing_there_says_where_to_get_it(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "x.npz"):
        with pytest.raises(FileNotFoundError, match=r"cifar\.html"):
            data.cifar10(path)
    write_batches(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_batch\.bin is missing"):
        data.cifar10(tmp_path)


def test_damaged_batches_are_named(tmp_path):
    write_batches(tmp_path)
    whole = (tmp_path / "data_batch_3.bin").read_bytes()
    for content in (whole[:-7], b""):
        (tmp_path / "data_batch_3.bin").write_bytes(content)
        with pytest.raises(ValueError, match=r"data_batch_3\.bin must hold records of 3073 bytes"):
            data.cifar10(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes([77]) + whole[1:])
    with pytest.raises(ValueError, match="must be below 10, got 77"):
        data.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_train": np.zeros((6, 32, 32, 3))}, "x_train .* must be uint8 images"),
        ({"y_train": np.zeros(5, int)}, "y_train .* must be 6 classes"),
        ({"y_test": np.zeros(3)}, "y_test .* must be 3 classes"),
        ({"x_test": np.zeros((3, 8, 8, 3), np.uint8)}, "must be of one size"),
        ({"x_train": None}, "lacks"),
        ({"y_test": np.array([{}] * 3)}, "no npz file"),
    ],
)
def test_bad_npz_files_are_named(tmp_path, change, said):
    (x, y), (fresh, labels) = made(6), made(3, 1)
    arrays = {"x_train": x, "y_train": y, "x_test": fresh, "y_test": labels} | change
    file = tmp_path / "some.npz"
    np.savez(file, **{name: each for name, each in arrays.items() if each is not None})
    with pytest.raises(ValueError, match=said):
        data.cifar10(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="no npz file"):
        data.cifar10(file)


def test_digits_are_split_by_their_seed():
    first, again, other = data.digits(0), data.digits(0), data.digits(1)
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    assert len(first.x_train) + len(first.x_test) == 1797
    assert first.x_train.max() == 255
    with pytest.raises(ValueError, match="share"):
        data.digits(0, share=1.0)
