"""The data set's own test items: HarmEval and HelpEval as splitting or an import put them aside."""

from collections.abc import Iterator
from dataclasses import replace

from components.evaluation.items import Asked
from spavl.images import ImageStore
from spavl.records import EvalItem, Image
from spavl.shards import read_records
from spavl.storage import local_copy

BENCHMARKS = {"harm_eval": "held_out_harm", "help_eval": "held_out_help"}
"""Names of their own: the pocket world has a HarmEval and a HelpEval too."""


def held_out_items(uri: str, store: ImageStore, pocket: bool) -> Iterator[Asked]:
    """Every test item with its picture.

    Args:
        uri: The items' data set; none where it is empty.
        store: The data set's image store.
        pocket: Whether pictures that the pocket world drew are asked about; real models never are.
    """
    if not uri:
        return
    facts = {each.image_id: each for each in store.facts()}
    for item in read_records(local_copy(uri), EvalItem):
        if item.image_id is None or (item.thing and not pocket):
            continue
        picture = Image(content=store.content(item.image_id), **vars(facts[item.image_id]))
        told = replace(item, benchmark=BENCHMARKS[item.benchmark], source="held_out")
        yield Asked(picture, (told,))
