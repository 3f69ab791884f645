"""Where a long computation stands, kept by orbax while it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Checkpoints:
    """The newest state of one computation, in a folder; for use in a `with` statement.

    A state is written beside the one before and then takes its place, so a process that is killed
    while it writes loses one step at most.

    Args:
        folder: made if it is not there.

    Raises:
        ImportError: if orbax is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import orbax.checkpoint
        except ImportError as error:
            raise ImportError("checkpoints need orbax: pip install 'nsjax[run]'") from error
        self.folder = Path(folder).absolute()
        self._orbax = orbax.checkpoint
        self._manager = orbax.checkpoint.CheckpointManager(
            self.folder,
            options=orbax.checkpoint.CheckpointManagerOptions(
                max_to_keep=1, create=True, enable_async_checkpointing=False
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

    def save(self, step: int, state: Any) -> None:
        """Keep a pytree of arrays, and forget the one before.

        Raises:
            ValueError: if the step is not beyond the newest one.
        """
        if not self._manager.save(step, args=self._orbax.args.StandardSave(state)):
            raise ValueError(f"step must be above {self._manager.latest_step()}, got {step}")

    def restore(self, like: Any) -> Any | None:
        """The newest state, its arrays placed as those of `like`; None if there is none.

        Args:
            like: a pytree of the same structure and shapes.

        Raises:
            ValueError: if what is there has another structure, or cannot be read.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        try:
            return self._manager.restore(step, args=self._orbax.args.StandardRestore(like))
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"the state in {self.folder} does not fit, or is damaged: {error}"
            ) from error

    def discard(self) -> None:
        """Remove the folder, when the computation is done."""
        self._manager.close()
        shutil.rmtree(self.folder)
