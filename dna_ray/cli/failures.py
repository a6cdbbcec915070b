"""What a failure of a verb becomes: an exit code, one line, and for a bug a file with its traceback."""

import errno
import os
import tempfile
import time
import traceback
from pathlib import Path

from dna_ray.errors import DnaRayError, InputError, ResourceError, SpaceError

BUG = 1
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def exit_code(error: Exception) -> int:
    """The exit code of the error tree in `errors.py`; `BUG` for what nobody raised on purpose."""
    if isinstance(error, DnaRayError):
        return error.exit_code
    if _out_of_memory(error):
        return ResourceError.exit_code
    if isinstance(error, OSError) and error.errno in FULL:
        return SpaceError.exit_code
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return InputError.exit_code
    return BUG


def line(error: Exception) -> str:
    """What the user reads, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, DnaRayError):
        return text or type(error).__name__
    if _out_of_memory(error):
        return f"out of memory ({text or 'no more to say'}); use fewer workers, a smaller --batch-size, or end programs"
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.filename or 'a file'}: no space left; free some and repeat the command, it goes on"
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return f"{error.filename or 'a file'}: {error.strerror}; choose a place that you may write to and read from"
    return f"{type(error).__name__}: {text}"


def save_traceback(error: Exception, run: Path | None) -> Path | None:
    """Keeps the traceback of a bug in the run folder, or else among the temporary files; None where neither works."""
    text = "".join(traceback.format_exception(error))
    name = f"traceback-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (run, Path(tempfile.gettempdir())):
        if folder is not None:
            try:
                (folder / name).write_text(text, encoding="utf-8")
            except OSError:
                continue
            return folder / name
    return None


def _out_of_memory(error: Exception) -> bool:
    """Also torch's own, without importing it: a RuntimeError subclass for CUDA, a plain RuntimeError for the CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
