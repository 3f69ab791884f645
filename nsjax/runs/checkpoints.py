"""Where a long computation stands, kept by orbax while it goes on."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nsjax.runs.storage import RunError, read_json, sha256, write_json


class Checkpoints:
    """The newest states of one computation, in a folder; for use in a `with` statement.

    A state is written beside the ones before, and its SHA-256 sums after it: orbax alone would load
    a file with flipped bits without a word. So a process that is killed while it writes loses what
    it did since the state before, and of damaged states the newest whole one is taken.

    Args:
        folder: made if it is not there. Remove it with `discard` when the computation is done and
            saved.
        keep: how many states are kept, at least 2: the newest is whole only once its sums are
            there.
        every: seconds that must have gone by since the last one; a state that comes sooner is not
            written. States are equal whenever they are kept, so a resumed run does not depend on
            it.
        report: called with a line about each damaged state.

    Raises:
        ImportError: if orbax is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        every: float = 0.0,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        try:
            import orbax.checkpoint
        except ImportError as error:
            raise ImportError("checkpoints need orbax: pip install 'nsjax[run]'") from error
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 2:
            raise ValueError(f"keep must be an integer >= 2, got {keep!r}")
        self.folder = Path(folder).absolute()
        self._keep, self._every, self._report = keep, every, report
        self._saved_at = -float("inf")
        self._orbax = orbax.checkpoint
        self._open()

    def _open(self) -> None:
        self._manager = self._orbax.CheckpointManager(
            self.folder,
            options=self._orbax.CheckpointManagerOptions(
                max_to_keep=self._keep,
                create=True,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.close()

    @property
    def due(self) -> bool:
        """Whether a state would be written, see `every`."""
        return time.monotonic() - self._saved_at >= self._every

    def save(self, step: int, state: Any) -> bool:
        """Keep a pytree of arrays and PRNG keys; returns whether it was written, see `every`.

        Raises:
            ValueError: if the step is not beyond the newest one.
        """
        import jax

        if not self.due:
            return False
        leaves = {name: _plain(leaf) for name, leaf in _named(jax.tree.leaves(state)).items()}
        if not self._manager.save(step, args=self._orbax.args.StandardSave(leaves)):
            raise ValueError(f"step must be above {self._manager.latest_step()}, got {step}")
        write_json(self._sums(step), self._digests(step))
        kept = {str(each) for each in self._manager.all_steps()}
        for path in self.folder.glob("*.sha256.json"):
            if path.name.partition(".")[0] not in kept:
                path.unlink()
        self._saved_at = time.monotonic()
        return True

    def restore(self, like: Any) -> Any | None:
        """The newest whole state; None if there is none.

        Args:
            like: a pytree of the same structure. Leaves that are JAX arrays of the same shape say
                on which devices the state's are to lie, and PRNG keys of what kind they are.

        Raises:
            RunError: if all states that were kept are damaged; none is removed.
            ValueError: if what is there has another structure.
        """
        damaged: list[tuple[int, str]] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            fault = self._fault(step)
            if fault is None:
                self._set_aside(damaged)
                return self._read(step, like)
            if fault:
                self._report(f"the state of step {step} in {self.folder} is not used: {fault}")
            damaged.append((step, fault))
        if any(fault for _, fault in damaged):
            raise RunError(
                f"no state in {self.folder} is whole: "
                + "; ".join(f"step {step}: {fault}" for step, fault in damaged if fault)
                + ". Remove the folder to begin this computation anew"
            )
        self._set_aside(damaged)
        return None

    def _sums(self, step: int) -> Path:
        return self.folder / f"{step}.sha256.json"

    def _digests(self, step: int) -> dict[str, str]:
        folder = self.folder / str(step)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): sha256(path) for path in files}

    def _fault(self, step: int) -> str | None:
        """What is wrong with a state; empty if its writing was interrupted, None if nothing is."""
        if not self._sums(step).exists():
            return "" if step == self._manager.latest_step() else "its sums are missing"
        try:
            wanted = read_json(self._sums(step))
            found = self._digests(step)
        except (OSError, RunError) as error:
            return str(error)
        missing = sorted(set(wanted) - set(found))
        if missing:
            return f"{missing[0]} is missing"
        changed = [name for name in wanted if wanted[name] != found[name]]
        return f"{changed[0]} is not what was saved" if changed else None

    def _set_aside(self, damaged: list[tuple[int, str]]) -> None:
        """Move damaged states out of the way of the next ones; interrupted ones are removed."""
        if not damaged:
            return
        self._manager.close()
        for step, fault in damaged:
            if fault:
                aside = self.folder / "damaged" / f"{step}-{time.time_ns()}"
                aside.parent.mkdir(exist_ok=True)
                (self.folder / str(step)).rename(aside)
            else:
                shutil.rmtree(self.folder / str(step))
            with contextlib.suppress(FileNotFoundError):
                self._sums(step).unlink()
        self._open()

    def _read(self, step: int, like: Any) -> Any:
        import jax
        import numpy as np

        wanted, structure = jax.tree.flatten(like)
        try:
            found = self._manager.restore(step, args=self._orbax.args.StandardRestore())
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise RunError(f"step {step} in {self.folder} cannot be read: {error}") from error
        names = _named(wanted)
        if set(names) != set(found):
            raise ValueError(
                f"the state in {self.folder} must have {len(names)} arrays, has {len(found)}"
            )
        leaves = [found.get(_name(i), leaf) for i, leaf in enumerate(wanted)]

        def placed(leaf: Any, target: Any) -> Any:
            if _is_key(target):
                return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(target))
            if isinstance(target, jax.Array):
                same = target.shape == leaf.shape
                return jax.device_put(leaf, target.sharding if same else None)
            return np.asarray(leaf)

        pairs = zip(leaves, wanted, strict=True)
        return jax.tree.unflatten(structure, [placed(*each) for each in pairs])


def discard(folder: Path) -> None:
    """Remove the states of a computation; a kill on the way leaves nothing that looks like some."""
    gone = folder.with_name(f".gone-{folder.name}-{time.time_ns()}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(gone)
        shutil.rmtree(gone)


def _name(place: int) -> str:
    return f"{place:05d}"


def _named(leaves: list[Any]) -> dict[str, Any]:
    """Leaves by name, but for empty ones, of which orbax can write nothing."""
    import numpy as np

    return {_name(i): leaf for i, leaf in enumerate(leaves) if _is_key(leaf) or np.size(leaf)}


def _is_key(leaf: Any) -> bool:
    import jax

    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    """What orbax can write: no PRNG keys, and no scalars of NumPy."""
    import jax
    import numpy as np

    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf))
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
