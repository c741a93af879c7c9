"""Reference log-probs as data: computed once for a row, found again by every later run.

What a frozen model says of a row depends on the row's tokens and pictures, on how pixels are made,
on the weights and on their data type, and on nothing else that a run chooses. A store is a folder
named by the last three; in it lie files that are never changed, so that runs side by side and runs
that were interrupted need no lock.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from spavl.alignment import processes
from spavl.alignment.rows import Row
from spavl.digests import json_digest
from spavl.environment import work_root
from spavl.shards import sync_file
from spavl.storage import refreshed

FOLDER = "reference-log-probs"
ROWS_PER_FILE = 4096  # what an interruption can lose


class KeptLogProbs:
    """Summed answer log-probs of rows under one frozen model.

    Args:
        weights: Digest of the model.
        dtype: Name of the data type it computes in.
        pixels: How its pixels are made of pictures, as JSON.
    """

    def __init__(self, weights: str, dtype: str, pixels: Mapping[str, Any]) -> None:
        identity = json_digest({"weights": weights, "dtype": dtype, "pixels": dict(pixels)})
        self._folder = work_root() / FOLDER / identity[:32]
        if processes.is_leader():
            refreshed(self._folder)
        processes.wait_for_all()
        self._kept = _read(self._folder)
        self._fresh: dict[bytes, float] = {}

    def __contains__(self, row: Row) -> bool:
        return row_key(row) in self._kept

    def of(self, rows: Iterable[Row]) -> torch.Tensor:
        """Log-probs of rows that are kept: float32 `[rows]`."""
        return torch.tensor([self._kept[row_key(row)] for row in rows])

    def add(self, rows: Iterable[Row], log_probs: torch.Tensor) -> None:
        """Keep the log-probs of rows, float `[rows]`; what is kept already stays as it is.

        A file is written from time to time.
        """
        for row, value in zip(rows, log_probs.float().tolist(), strict=True):
            key = row_key(row)
            if key not in self._kept:
                self._kept[key] = self._fresh[key] = value
        if len(self._fresh) >= ROWS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what is new; of several processes the leader does, all keep the same."""
        from safetensors.torch import save

        fresh, self._fresh = self._fresh, {}
        if not fresh or not processes.is_leader():
            return
        keys = torch.frombuffer(bytearray(b"".join(fresh)), dtype=torch.uint8).view(-1, 32)
        content = save({"keys": keys, "log_probs": torch.tensor(list(fresh.values()))})
        place = self._folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(f".{uuid.uuid4().hex}.unfinished")  # runs may write alike
        unfinished.write_bytes(content)
        sync_file(unfinished)
        unfinished.replace(place)


def row_key(row: Row) -> bytes:
    """The sha256 of what is scored: tokens, where the answer begins, pictures."""
    text = f"{row.boundary} {row.token_ids} {row.image_ids}"
    return hashlib.sha256(text.encode()).digest()


def _read(folder: Path) -> dict[bytes, float]:
    """What is kept; a file that does not hold what its name says counts as lost: it is computed."""
    from safetensors.torch import load

    found: dict[bytes, float] = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.stem:
            continue
        content = load(data)
        keys = [bytes(key) for key in content["keys"].numpy()]
        found |= dict(zip(keys, content["log_probs"].tolist(), strict=True))
    return found
