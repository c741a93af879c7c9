"""Pictures with near-duplicates planted among them.

`python -m tests.unit.collection.planting` prints how many of 25,000, 50,000 and 100,000 pictures'
planted copies are found, how many pairs are found that are none, and the seconds it takes; then how
many copies of the photographs are found.
"""

import io
import os
import time
from pathlib import Path

import numpy as np
import PIL.Image

from components.collection.closeness import Closeness
from components.collection.decoding import decode
from components.collection.fingerprints import fingerprints, views
from components.collection.near_duplicates import verified_pairs
from spavl.settings.collection import CollectionSettings

REPOSITORY = Path(__file__).parents[3]
PHOTOGRAPHS = (
    Path(os.environ.get("SPAVL_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "photos"
)


def natural(count: int, seed: int, side: int = 80) -> np.ndarray:
    """Pictures `[count, side, side, 3]` whose amplitudes fall with frequency, as photographs'."""
    rng = np.random.default_rng(seed)
    distance = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    amplitude = 1 / np.maximum(distance, 1)
    noise = rng.normal(size=(count, 3, *amplitude.shape, 2)) @ [1, 1j]
    noise[:, 1:] = 0.8 * noise[:, :1] + 0.2 * noise[:, 1:]  # colours go together
    fields = np.fft.irfft2(noise * amplitude, (side, side))
    fields -= fields.mean(axis=(2, 3), keepdims=True)
    fields *= 45 / fields.std(axis=(2, 3), keepdims=True)
    return (fields + 128).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def png(picture: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def resized(picture):
    return picture.resize((picture.width * 2 // 3, picture.height // 2), PIL.Image.BILINEAR)


def recompressed(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=50)
    return PIL.Image.open(buffer).convert("RGB")


def cut(picture):
    width, height = picture.size
    x, y = round(width * 0.025), round(height * 0.025)
    return picture.crop((x, y, width - x, height - y))


CHANGES = {"resized": resized, "recompressed": recompressed, "cut": cut}


def prints_of(pictures) -> np.ndarray:
    return fingerprints(np.stack([views(png(picture)) for picture in pictures]))


def planted(count: int, each: int) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Fingerprints of `count` pictures, the last of them changed copies of earlier ones."""
    changed = each * len(CHANGES)
    prints, pairs = [], set()
    for begin in range(0, count - changed, 2000):
        size = min(2000, count - changed - begin)
        side = 80 if begin == 0 else 40  # the first are copied, the others fill
        prints.append(fast_prints(natural(size, seed=begin, side=side)))
    sources = [PIL.Image.fromarray(each) for each in natural(min(2000, each), seed=0)[:each]]
    for order, change in enumerate(CHANGES.values()):
        prints.append(prints_of(change(picture) for picture in sources))
        for place in range(len(sources)):
            pairs.add((place, count - changed + order * each + place))
    return np.concatenate(prints), pairs


def photographs(files: list[Path]) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Fingerprints of photographs and of changed copies of all, and the pairs of both."""
    pictures = [decode(path.read_bytes(), CollectionSettings(max_side=400)) for path in files]
    copies = [change(picture) for change in CHANGES.values() for picture in pictures]
    count = len(pictures)
    places = range(count, count + len(copies))
    return prints_of([*pictures, *copies]), {(place % count, place) for place in places}


def fast_prints(pictures: np.ndarray) -> np.ndarray:
    """Fingerprints without encoding, for pictures that only fill."""
    lanczos = PIL.Image.Resampling.LANCZOS
    side = pictures.shape[1]
    boxes = ((0, 0, side, side), (side * 0.025, side * 0.025, side * 0.975, side * 0.975))
    batch = [
        [np.asarray(PIL.Image.fromarray(each).resize((32, 32), lanczos, box, 3.0)) for box in boxes]
        for each in pictures
    ]
    return fingerprints(np.array(batch))


def nobody(prints: np.ndarray) -> np.ndarray:
    return np.zeros(len(prints), np.int64)


def both(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return prints["hashes"], prints["thumbs"]


def judged(prints: np.ndarray, pairs: set[tuple[int, int]]) -> tuple[float, float]:
    """Share of planted pairs found, and share of pairs found whose pictures are not the same."""
    found = {
        tuple(pair) for pair in verified_pairs(*both(prints), nobody(prints), Closeness()).tolist()
    }
    first = {later: earlier for earlier, later in pairs}
    strangers = sum(first.get(a, a) != first.get(b, b) for a, b in found)
    return len(found & pairs) / len(pairs), strangers / max(len(found), 1)


def main() -> None:
    for count in (25_000, 50_000, 100_000):
        prints, pairs = planted(count, each=count // 100)
        start, worked = time.monotonic(), time.process_time()
        recall, false = judged(prints, pairs)
        seconds, work = time.monotonic() - start, time.process_time() - worked
        print(f"{count} {recall=:.4f} {false=:.5f} {seconds=:.2f} cpu={work:.2f}", flush=True)
    if files := sorted(PHOTOGRAPHS.glob("*")):
        recall, _ = judged(*photographs(files))  # some photographs are of one scene
        print(f"{len(files)} photographs {recall=:.4f}")


if __name__ == "__main__":
    main()
