"""A folder here and its twin on S3, file by file.

Two files are the same where the object's ETag and size are those of the last transfer, and the file
here has not been written since. A note of each transfer lies beside the buckets in the scratch
folder; where it is lost, the file is transferred again.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from spavl.addresses import require_known
from spavl.environment import scratch_folder
from spavl.errors import InputError
from spavl.files import write_whole
from spavl.storage.bucket import SCHEME, Bucket, Stored, is_s3, parts_of

NOTES = ".transferred"  # no bucket may be called so
NOT_SENT = (".tmp", ".unfinished", ".writer")
"""Endings of what is still written, and of what concerns this machine alone."""


def local_copy(uri: str) -> Path:
    """A file or folder of this machine with what lies at an address.

    Args:
        uri: A path, which is given back as it is, a `file://` address, or an `s3://` address: that
            is fetched into the scratch folder, but for what is there already.

    Raises:
        InputError: If the address is wrong or nothing lies there.
        CorruptShardError: If something there does not match its checksum.
        AwayError: If S3 does not answer.
    """
    if not is_s3(uri):
        return Path(require_known(uri, "address").removeprefix("file://"))
    bucket_name, name = parts_of(uri)
    bucket = Bucket(bucket_name)
    stored = list(bucket.listed(name))
    if not stored:
        raise InputError("nothing lies there", uri, "correct the address")
    fetch(bucket, stored)
    return _place(bucket, name)


def refreshed(folder: Path, growing: bool = False) -> Path:
    """The same folder, with what other machines have added on S3; it may be missing.

    Args:
        folder: The folder.
        growing: Whether its files only grow. A file that is longer here than there then stays: it
            was added to since it was sent, and its writer may live.
    """
    uri = uri_of(folder)
    if is_s3(uri):
        bucket_name, name = parts_of(uri)
        bucket = Bucket(bucket_name)
        stored = bucket.listed(name)
        fetch(bucket, (each for each in stored if not (growing and _is_longer_here(bucket, each))))
    return folder


def uri_of(path: Path) -> str:
    """How another machine finds a path of this one: on S3 where the path stands for that."""
    scratch = scratch_folder()
    if path.is_relative_to(scratch):
        return f"{SCHEME}{path.relative_to(scratch).as_posix()}"
    return str(path)


def keep(path: Path) -> None:
    """Bring a finished file or folder to S3, where it stands for a place there."""
    uri = uri_of(path)
    if is_s3(uri):
        bucket_name, name = parts_of(uri)
        send(Bucket(bucket_name), finished_files(path) if path.is_dir() else [path], name)


def finished_files(folder: Path) -> list[Path]:
    """All files below a folder, but those that are still written.

    Of each folder the JSON comes last: it speaks of the other files, so it must not come to be
    without them.
    """
    found = [path for path in folder.rglob("*") if path.is_file() and _is_sent(path, folder)]
    return sorted(found, key=lambda path: (path.parent, path.suffix == ".json", path.name))


def _is_sent(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return not any(part.endswith(NOT_SENT) or part == "unfinished" for part in parts)


def send(
    bucket: Bucket, files: Iterable[Path], below: str, may: Callable[[], None] = lambda: None
) -> None:
    """Upload those files that differ from their twins, one after the other.

    A file that is no more when its turn comes is left out.

    Args:
        bucket: The bucket that the files stand for a part of.
        files: The files.
        below: Name in the bucket that all of them lie at or below.
        may: Asked before every request that writes; raises where it must not.
    """
    known = {each.name: each for each in bucket.listed(below)}
    for path in files:
        name = _name(bucket, path)
        with suppress(FileNotFoundError):
            if name not in known or not _same(path, known[name]):
                before = path.stat()
                etag = bucket.upload(path, name, may)
                after = path.stat()
                if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                    _note(path, etag)  # or it is sent again later


def fetch(bucket: Bucket, stored: Iterable[Stored]) -> None:
    """Download those objects that differ from their twins."""
    for each in stored:
        place = _place(bucket, each.name)
        if not (place.is_file() and _same(place, each)):
            _note(place, bucket.download(each.name, place))


def _is_longer_here(bucket: Bucket, stored: Stored) -> bool:
    place = _place(bucket, stored.name)
    return place.is_file() and place.stat().st_size > stored.size


def _same(path: Path, stored: Stored) -> bool:
    """Whether a file is what was transferred last, and the object has not changed since."""
    try:
        etag, size, written = _noted(path).read_text().split()
    except (OSError, ValueError):
        return False
    status = path.stat()
    here = (status.st_size, str(status.st_mtime_ns))
    return (etag, int(size)) == (stored.etag, stored.size) and (int(size), written) == here


def _note(path: Path, etag: str) -> None:
    status, note = path.stat(), _noted(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, f"{etag} {status.st_size} {status.st_mtime_ns}\n".encode(), sync=False)


def _noted(path: Path) -> Path:
    """Where is kept what a file was when it was transferred: the object's ETag, size and time."""
    return scratch_folder() / NOTES / path.relative_to(scratch_folder())


def _name(bucket: Bucket, path: Path) -> str:
    return path.relative_to(scratch_folder() / bucket.name).as_posix()


def _place(bucket: Bucket, name: str) -> Path:
    """The file here of an object's name, which anybody may have chosen."""
    parts = PurePosixPath(name).parts
    if "/".join(parts) != name or ".." in parts or "\0" in name:
        raise InputError(
            "a name that is no file's", bucket.uri(name), "rename or remove the object"
        )
    return scratch_folder() / bucket.name / name
