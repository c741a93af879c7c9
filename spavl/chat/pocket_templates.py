"""The pocket world's writer of questions: a chat model that knows templates and nothing else.

It is shown the same writing prompts as a real writer and reads only the kind that they ask for;
which of the training templates it takes is left to the seed and the request's id: in one of three
cases a request that guards against what is shown. It is shown no class and does not look at the
picture, so its texts are the same over harmful and harmless things.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.errors import InputError
from spavl.pocket.texts import REQUEST_KINDS, Ask, Kind, questions
from spavl.seeds import derive_seed

_ASKS: tuple[Ask, ...] = ("act", "act", "guard")
_KIND = re.compile(r"^Kind: (\w+)\s*$", re.MULTILINE)


class PocketTemplatesChat:
    """Answers a writing prompt with one of the pocket world's training templates."""

    @property
    def model_id(self) -> str:
        """The templates' name."""
        return "pocket-templates"

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Picks a template for each request; see `ChatModel.reply`.

        Raises:
            InputError: A prompt has no line `Kind: <kind>` that names a kind of question.
        """
        skip = set(done)
        for request in requests:
            if request.record_id in skip:
                continue
            prompt = request.messages[-1].text
            draw = derive_seed(sampling.seed, "template", request.record_id)
            turn, ask = divmod(draw, len(_ASKS))
            texts = questions(_kind_of(prompt), "train", _ASKS[ask])
            text = texts[turn % len(texts)]
            tokens = len(prompt.split()), len(text.split())
            yield ChatReply(request.record_id, text, "stop", *tokens)


def _kind_of(prompt: str) -> Kind:
    found = _KIND.search(prompt)
    for kind in REQUEST_KINDS:
        if found and found.group(1) == kind:
            return kind
    raise InputError(
        "a prompt without a kind of question",
        "pocket_templates",
        f"end the writing prompt with a line 'Kind: <one of {', '.join(REQUEST_KINDS)}>'",
    )
