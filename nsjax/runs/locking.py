"""One process at a time in a run's folder."""

import os
import socket
from pathlib import Path

from nsjax.runs.storage import RunError


class Lock:
    """A lock on a folder, which the system takes off a process that dies, however it dies.

    Args:
        path: file that is locked; it says who holds it.

    Raises:
        RunError: if another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        try:
            import fcntl
        except ImportError:  # there is none on Windows
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunError(
                f"{path.parent} is in use by {holder or 'another process'}; wait for it, or choose "
                "another root"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise RunError(
                f"{path.parent} cannot be locked, {error.strerror}: mount its file system with "
                "locks, or choose another root"
            ) from error
        self._descriptor = descriptor
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.release()


def held(path: Path) -> bool:
    """Whether a process on this machine, or on another that sees its locks, holds a lock.

    Args:
        path: of a file that `Lock` locks; it need not be there.
    """
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
