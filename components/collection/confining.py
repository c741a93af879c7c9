"""What a decoding process may not do, once it has loaded what it needs.

It holds bounded memory, opens no file, starts no process, writes no file, gains no privilege; where
libseccomp and its binding are installed, the kernel refuses it everything but reading its input,
writing its output and memory: no network either. `spavl doctor` says whether they are.
"""

import ctypes
import errno
import resource
from pathlib import Path

from spavl.settings.collection import CollectionSettings

BYTES_PER_PIXEL = 16
"""Most that decoding holds at a time: four copies of four channels (WebP with transparency)."""
SPARE_BYTES = 256 * 2**20
"""Beside the pixels: the file, its tables, the encoded result."""

_PR_SET_NO_NEW_PRIVS = 38
ALLOWED = """
brk clock_gettime clock_nanosleep close exit exit_group fstat futex get_robust_list getpid getrandom
gettid gettimeofday lseek madvise membarrier mmap mprotect mremap munmap newfstatat nanosleep poll
ppoll read readv restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity
sched_yield setitimer set_robust_list sigaltstack tgkill timer_delete timer_settime write writev
"""
"""System calls of a process that computes; all others are refused with EPERM."""


def confine(settings: CollectionSettings) -> None:
    """Takes from this process what decoding does not need; nothing gives it back."""
    filtered = seccomp_missing() is None  # which opens files
    _bound_memory(settings)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # its streams; none can be opened any more
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if filtered:
        _filter_calls()


def seccomp_missing() -> str | None:
    """Why system calls are not filtered here; None if they are."""
    try:
        import pyseccomp  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        return "pyseccomp is not installed"
    except (OSError, RuntimeError) as error:
        return f"libseccomp is not installed ({error})"
    return None


def _bound_memory(settings: CollectionSettings) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere the kernel does not hold to this bound
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        bound = held + SPARE_BYTES + settings.max_bytes + BYTES_PER_PIXEL * settings.max_pixels
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _filter_calls() -> None:
    import pyseccomp

    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    for name in ALLOWED.split():
        rules.add_rule(pyseccomp.ALLOW, name)
    rules.load()
