"""What ended a process is the error of its step."""

import errno
from pathlib import Path

import pytest

from spavl.alignment.failures import leave_error, raise_failure
from spavl.errors import InputError


@pytest.mark.parametrize(
    "error",
    [
        InputError("the gradient is nan", "training", "lower the learning rate"),
        PermissionError(errno.EACCES, "Permission denied", "/work/checkpoint"),
        OSError(errno.EROFS, "Read-only file system", "/work/checkpoint"),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("No space left on device (os error 28)"),
    ],
)
def test_an_error_comes_through_as_what_it_was(error: Exception, tmp_path: Path) -> None:
    leave_error(tmp_path, "process-00000", error)
    with pytest.raises(type(error) if isinstance(error, OSError) else Exception) as found:
        raise_failure(tmp_path, {0: 1})
    assert str(found.value) == str(error)
    for name in ("errno", "filename", "exit_code"):
        assert getattr(found.value, name, None) == getattr(error, name, None)
