"""Captions: what a model sees in each picture."""

from collections import Counter
from collections.abc import Mapping

from components.generation.prompts import render
from spavl.chat import ChatModel, ChatRequest, Message
from spavl.records import record_id
from spavl.seeds import derive_seed
from spavl.settings.questions import QuestionsSettings

MAX_CHARACTERS = 500


class Captioner:
    """Captions pictures with one model and one prompt."""

    def __init__(self, chat: ChatModel, settings: QuestionsSettings) -> None:
        self._chat = chat
        self._prompt = render(settings.caption_prompt)
        self._fallback = settings.fallback_caption
        self._sampling = settings.caption_sampling.sampling(derive_seed(settings.seed, "captions"))

    def captions(self, pictures: Mapping[str, bytes], counts: Counter[str]) -> dict[str, str]:
        """The caption of each picture, on one line.

        Args:
            pictures: Image id to encoded picture.
            counts: Told how many pictures got the fallback.
        """
        names = {record_id("caption", image_id): image_id for image_id in pictures}
        requests = [
            ChatRequest(name, (Message("user", self._prompt),), pictures[image_id])
            for name, image_id in names.items()
        ]
        captions = {}
        for reply in self._chat.reply(requests, self._sampling):
            text = " ".join(reply.text.split())[:MAX_CHARACTERS]
            captions[names[reply.record_id]] = text or self._fallback
            counts["captions missing"] += not text
        return captions
