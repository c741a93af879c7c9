"""A base image made of this machine's own Python and libraries, where no image can be pulled.

It holds what a slim Python image holds for our Containerfiles: a shell, a few tools, Python below
/usr/local, the libraries that wheels expect, certificates. With distributions named, those lie in
its site-packages, as torch does in a base for the trainer.

What a lock names in the version that is installed here lies in /opt/venv already, so that a build
finds it there. Distributions with programs, and what is not here, are left to the build: it shows
on them that it installs by hash, and programs name their interpreter.
"""

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement

TOOLS = (
    "sh",
    "bash",
    "mktemp",
    "mkdir",
    "rm",
    "cat",
    "cp",
    "ls",
    "env",
    "id",
    "uname",
    "chmod",
    "touch",
)
# What ldd does not tell: wheels open these themselves, or want them although nothing here does.
MORE_LIBRARIES = (
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libgomp.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libnss_files.so.2",
)
LEFT_OUT = {"site-packages", "test", "idlelib", "tkinter", "lib2to3", "pkgconfig"}
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def import_base(
    docker: list[str], tag: str, lock: Path, with_distributions: Iterable[str] = ()
) -> None:
    """Make the image and hand it to the engine.

    Args:
        docker: The client's command.
        tag: The image's name.
        lock: A lock file; what it names goes into /opt/venv.
        with_distributions: Installed distributions to put in, with all that they need.
    """
    command = [*docker, "import", "--change", "ENV PATH=/usr/local/bin:/usr/bin", "-", tag]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        _write(process.stdin, _carried(lock), with_distributions)
        process.stdin.close()
    assert process.returncode == 0, f"docker import ended with {process.returncode}"


def _write(stream: IO[bytes], carried: Iterable[Distribution], needed: Iterable[str]) -> None:
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        _write_layout(archive)
        prefix = Path(sys.base_prefix).resolve()
        _write_python(archive, prefix)
        tools = [Path("/usr/bin", tool).resolve() for tool in TOOLS]
        for name, tool in zip(TOOLS, tools, strict=True):
            _add(archive, tool, f"usr/bin/{name}")
        programs = [*tools, *prefix.glob("bin/python3.11"), *prefix.rglob("lib-dynload/*.so")]
        for library in sorted(_libraries(programs)):
            _add(archive, library, f"{LIBRARIES}/{library.name}")
        site = "lib/python3.11/site-packages"
        for place, held in (("usr/local", _with_needs(needed)), ("opt/venv", carried)):
            for source, name in sorted({file for each in held for file in _files_of(each)}):
                _add(archive, source, f"{place}/{site}/{name}")


def _write_layout(archive: tarfile.TarFile) -> None:
    for name, mode in (("usr", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        archive.addfile(entry)
    for name, target in (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
        _link(archive, name, target)
    for name, text in FILES.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    if Path("/", CERTIFICATES).exists():
        _add(archive, Path("/", CERTIFICATES).resolve(), CERTIFICATES)
    _link(archive, "usr/lib64/ld-linux-x86-64.so.2", f"/{LIBRARIES}/ld-linux-x86-64.so.2")


def _write_python(archive: tarfile.TarFile, prefix: Path) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(entry.name).name
        if name in LEFT_OUT or name.startswith("config-"):
            return None
        entry.uid = entry.gid = 0
        return entry

    standard = "lib/python3.11"
    archive.add(prefix / standard, f"usr/local/{standard}", filter=kept)
    _add(archive, prefix / "bin/python3.11", "usr/local/bin/python3.11")
    for name in ("python3", "python"):
        _link(archive, f"usr/local/bin/{name}", "python3.11")


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs need, by the names under which they are asked for."""
    told = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    needed = {Path(path) for path in re.findall(r"(/\S+\.so[.0-9]*) \(0x", told)}
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    for name in MORE_LIBRARIES:
        found = re.search(rf"^\s+{re.escape(name)} \(.*x86-64.*=> (\S+)$", cache.stdout, re.M)
        if found:
            needed.add(Path(found[1]))
    return needed


def _carried(lock: Path) -> Iterator[Distribution]:
    """Installed distributions without programs that the lock names in this very version."""
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.M):
        for found in distributions(name=name):
            programs = any(".." in file.parts for file in found.files or [])
            if found.version == version and not programs:
                yield found


def _with_needs(names: Iterable[str]) -> Iterator[Distribution]:
    """Installed distributions and all that they need."""
    todo, seen = list(names), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for found in distributions(name=name):  # none if it is for another platform
            yield found
            needs = [Requirement(line) for line in found.requires or []]
            todo += [need.name for need in needs if not need.marker or need.marker.evaluate()]


def _files_of(found: Distribution) -> Iterator[tuple[Path, str]]:
    """A distribution's installed files with their names below site-packages; bytecode too."""
    for file in found.files or []:
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and source.is_file():
            yield source, str(file)


def _add(archive: tarfile.TarFile, source: Path, name: str) -> None:
    entry = archive.gettarinfo(str(source.resolve()), name)
    entry.uid = entry.gid = 0
    entry.type, entry.linkname = tarfile.REGTYPE, ""  # a hard link would name what is not here
    entry.size = source.stat().st_size
    with source.open("rb") as content:
        archive.addfile(entry, content)


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)
