"""The moderator that the settings ask for: the rule, or a model."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from spavl.chat import Journal, open_chat
from spavl.chat.spending import Purse
from spavl.images import ImageStore
from spavl.judges import BatchModerator, ModerateOneByOne, RuleModerator
from spavl.judges.chat_moderation import ChatModerator, sees_pictures
from spavl.seeds import derive_seed
from spavl.settings.labeling import LabelingSettings
from spavl.work import Reference, Work


@contextmanager
def opened_moderator(work: Work, settings: LabelingSettings) -> Iterator[BatchModerator]:
    """The moderator, for as long as the context lasts; a model's findings are journalled.

    Raises:
        InputError: The model's settings name no such key or model.
    """
    if settings.moderator is None:
        yield ModerateOneByOne(RuleModerator())
        return
    with ExitStack() as stack:
        with work.importing():
            journal = stack.enter_context(Journal(work.folder / "journal.jsonl"))
            chat = stack.enter_context(
                open_chat(
                    settings.moderator.chat,
                    journal,
                    threads=settings.threads,
                    purse=Purse(work.stage.name, settings.budget),
                )
            )
        yield ChatModerator(chat, settings.moderator, derive_seed(settings.seed, "moderation"))


def pictures_for(settings: LabelingSettings, images: Reference) -> ImageStore | None:
    """The pictures, where the moderator looks at them; None where it goes by text alone."""
    looks = settings.moderator is not None and sees_pictures(settings.moderator)
    return ImageStore(images.uri) if looks else None
