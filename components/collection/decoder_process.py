"""The decoding process: pictures come in by its input, what they are goes out by its output."""

import json
import os
import signal
import sys
from typing import Any

LENGTH = 8


def serve(raw: dict[str, Any]) -> None:
    """Decodes one picture after the other, until the input ends.

    Args:
        raw: `CollectionSettings`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from components.collection.confining import confine
    from components.collection.decoding import load_decoders
    from spavl.settings.collection import CollectionSettings

    settings = CollectionSettings.model_validate(raw)
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    load_decoders(settings)
    confine(settings)
    while length := incoming.read(LENGTH):
        content = incoming.read(int.from_bytes(length))
        for part in _answer(content, settings):
            outgoing.write(len(part).to_bytes(LENGTH))
            outgoing.write(part)
        outgoing.flush()


def _answer(content: bytes, settings: Any) -> tuple[bytes, ...]:
    """A JSON object with reason and detail, or an empty one and the picture's bytes."""
    from components.collection.decoding import Unusable, decode, encode

    signal.setitimer(signal.ITIMER_REAL, settings.max_decode_seconds)  # SIGALRM ends the process
    try:
        return b"{}", encode(decode(content, settings)).content
    except Unusable as unusable:
        return (json.dumps({"reason": unusable.reason, "detail": unusable.detail}).encode(),)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
