"""Chat with a model that runs in this process, by transformers."""

import dataclasses
import hashlib
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spavl.chat.interface import ChatReply, ChatRequest, FinishReason, Sampling
from spavl.chat.reasoning import apart
from spavl.models.generation import generate
from spavl.models.load import load_policy
from spavl.models.prompts import chat_text
from spavl.models.shared_prompts import can_share, generate_shared
from spavl.seeds import derive_seed
from spavl.storage import local_copy

if TYPE_CHECKING:
    import PIL.Image


class TransformersChat:
    """A vision-language model, loaded when it is opened.

    Batches of sampled answers are composed from all requests by record id, and each is seeded by
    its first id: the same requests give the same answers however often the work was interrupted
    between. Greedy answers are the same in any company, so there prompts of one picture are put
    together, in the order of their lengths, and each picture is read once.

    Args:
        folder: Folder or address of the model in Hugging Face layout, with its processor.
        batch_size: Requests answered at once.
        threads: Torch threads; None leaves them as they are.
    """

    def __init__(self, folder: str, batch_size: int = 32, threads: int | None = None) -> None:
        self._folder = str(local_copy(folder))
        self._batch_size = batch_size
        self._model, self._processor = load_policy(self._folder, threads)

    @property
    def model_id(self) -> str:
        """Name of the model's folder."""
        return Path(self._folder).name

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Answers batch by batch; see `ChatModel.reply`."""
        skip = set(done)
        greedy = sampling.temperature == 0 and can_share(self._model)
        compose = compose_by_picture if greedy else compose_batches
        for batch in compose(requests, self._batch_size):
            if all(request.record_id in skip for request in batch):
                continue
            for reply in self._answer(batch, sampling):
                if reply.record_id not in skip:
                    yield reply

    def _answer(self, batch: Sequence[ChatRequest], sampling: Sampling) -> list[ChatReply]:
        model, processor = self._model, self._processor
        texts = [
            chat_text(processor, request.messages, has_image=request.image is not None)
            for request in batch
        ]
        pictures = [_open(request.image) for request in batch if request.image is not None]
        seed = derive_seed(sampling.seed, "batch", batch[0].record_id)
        drawn = dataclasses.replace(sampling, seed=seed)
        if pictures and sampling.temperature == 0 and can_share(model):
            names = [hashlib.sha256(request.image or b"").hexdigest() for request in batch]
            made = generate_shared(model, processor, texts, pictures, names, drawn)
        else:
            made = generate(model, processor, texts, pictures, drawn)
        return [
            apart(
                ChatReply(request.record_id, text.strip(), _reason(reason), prompt_tokens, len(ids))
            )
            for request, text, reason, prompt_tokens, ids in zip(
                batch,
                made.texts,
                made.finish_reasons,
                made.prompt_tokens,
                made.token_ids,
                strict=True,
            )
        ]


def compose_batches(requests: Sequence[ChatRequest], size: int) -> Iterator[list[ChatRequest]]:
    """Batches by record id, requests with and without picture apart."""
    ordered = sorted(requests, key=lambda request: (request.image is None, request.record_id))
    split = sum(request.image is not None for request in ordered)
    for part in (ordered[:split], ordered[split:]):
        for start in range(0, len(part), size):
            yield part[start : start + size]


def compose_by_picture(requests: Sequence[ChatRequest], size: int) -> Iterator[list[ChatRequest]]:
    """Batches in which a picture's requests stand together, longest first; texts alone apart.

    A picture whose requests do not fit begins a new batch, and is cut only where it has more than
    a batch holds.
    """
    pictures: dict[bytes | None, list[ChatRequest]] = {}
    for request in sorted(requests, key=lambda request: (-_length(request), request.record_id)):
        pictures.setdefault(request.image, []).append(request)
    alone = pictures.pop(None, [])
    batch: list[ChatRequest] = []
    for about in pictures.values():
        if len(batch) + len(about) > size and batch:
            yield batch
            batch = []
        batch += about
        while len(batch) > size:
            yield batch[:size]
            batch = batch[size:]
    if batch:
        yield batch
    for start in range(0, len(alone), size):
        yield alone[start : start + size]


def _length(request: ChatRequest) -> int:
    return sum(len(message.text) for message in request.messages)


def _reason(text: str) -> FinishReason:
    return "length" if text == "length" else "stop"


def _open(content: bytes) -> "PIL.Image.Image":
    import PIL.Image

    with PIL.Image.open(io.BytesIO(content)) as picture:
        return picture.convert("RGB")
