"""Digests of files, folders and code: what caching, resuming and lineage stand on."""

import functools
import hashlib
import json
import os
import stat
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from spavl.folders import kind_of, open_regular, walk

OWN_PACKAGES = ("spavl", "components", "pipelines")


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path, whole_bytes: int | None = None) -> str:
    """The sha256 over relative names and contents of all files below a folder, in hex.

    Works for any folder that a user may give: symbolic links are not followed (a link contributes
    its target's text), pipes and devices are not opened (they contribute what they are), and what
    cannot be read contributes its size and why.

    Args:
        folder: The folder.
        whole_bytes: Files above this size contribute size and time of change instead of their
            content, so that one huge file does not hold up a run; None reads all.
    """
    digest = hashlib.sha256()
    for path in walk(folder):
        # The length first: a name may hold any byte but zero, line ends included.
        for part in (os.fsencode(path.relative_to(folder)), _state(path, whole_bytes).encode()):
            digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def json_digest(value: object) -> str:
    """The sha256 of a JSON value in canonical form (sorted keys, no spaces), in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_digest(module: str) -> str:
    """The digest of a module's import closure within this project.

    The closure holds the module, every module of ours that it imports directly or not, all
    packages above them, and the data files that lie beside them (templates, YAML). A change
    anywhere else leaves the digest as it was, so work that cannot be affected stays valid.

    Args:
        module: A dotted name such as `components.dpo`.

    Returns:
        Hex sha256 over the closure's module names and file contents.
    """
    digest = hashlib.sha256()
    for name in sorted(import_closure(module)):
        for path in _module_files(name):
            digest.update(f"{name}/{path.name} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def import_closure(module: str) -> set[str]:
    """Our modules that `module` (or any module below it) needs, itself included.

    KFP doors (`component.py`) are left out: they call the room and decide nothing.
    """
    graph = _import_graph()
    below = graph.find_descendants(module)
    roots = {module, *(name for name in below if not name.endswith(".component"))}
    closure = set(roots)
    for root in roots:
        closure |= graph.find_upstream_modules(root)
    parents = {
        ".".join(name.split(".")[:depth])
        for name in closure
        for depth in range(1, name.count(".") + 1)
    }
    return closure | parents


@functools.cache
def _import_graph():  # type: ignore[no-untyped-def]  # grimp's graph type is private
    import grimp

    present = [name for name in OWN_PACKAGES if find_spec(name) is not None]
    return grimp.build_graph(*present, cache_dir=None)


def _module_files(name: str) -> list[Path]:
    """A module's source and, for a package, the data files that lie in its folder."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return []
    source = Path(spec.origin)
    if source.name != "__init__.py":
        return [source]
    folder = Path(str(resources.files(name)))
    data = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in {".yaml", ".jinja", ".json", ".txt"}
    ]
    return [source, *data] if "." in name else [source]


def _state(path: Path, whole_bytes: int | None) -> str:
    """What of a path in a folder can change a result."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return f"link {os.fsencode(path.readlink())!r}"
        if not stat.S_ISREG(status.st_mode):
            return kind_of(status)
        if whole_bytes is not None and status.st_size > whole_bytes:
            return f"large {status.st_size} {status.st_mtime_ns}"
    except OSError as error:  # gone meanwhile, or a name too long
        return f"unreadable {error.errno}"
    try:
        with open_regular(path) as stream:
            return f"file {hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        return f"unreadable {error.errno} {status.st_size}"
