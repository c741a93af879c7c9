"""The layouts in which preferences about pictures are published, and how one is told from another.

The more a layout asks for, the earlier it is tried. Where two fit, both read the same.
"""

from spavl.errors import InputError
from spavl.published.layouts.as_published import SPA_VL, SPA_VL_RLHF
from spavl.published.layouts.beavertails_v import BEAVERTAILS_V
from spavl.published.layouts.layout import Cells, Layout, Shape
from spavl.published.layouts.llama_factory import LLAMA_FACTORY
from spavl.published.layouts.mm_rlhf import MM_RLHF
from spavl.published.layouts.ms_swift import MS_SWIFT
from spavl.published.layouts.rlhf_v import RLAIF_V, RLHF_V
from spavl.published.layouts.trl import CONVERSATIONAL, PLAIN
from spavl.published.layouts.vlguard import VLGUARD

LAYOUTS = {
    each.name: each
    for each in (
        VLGUARD,
        BEAVERTAILS_V,
        RLAIF_V,
        RLHF_V,
        MS_SWIFT,
        LLAMA_FACTORY,
        CONVERSATIONAL,
        MM_RLHF,
        PLAIN,
        SPA_VL_RLHF,
        SPA_VL,
    )
}
NEAREST = 3
__all__ = ["LAYOUTS", "LLAMA_FACTORY", "SPA_VL", "Cells", "Layout", "Shape", "recognised"]


def recognised(shape: Shape, named: str | None, where: str) -> Layout:
    """The layout of a file.

    Args:
        shape: Its columns and what they hold.
        named: The layout that the user named; None to find it.
        where: The file, for messages.

    Raises:
        InputError: None fits, or the named one does not; tells what was found and what would do.
    """
    found = ", ".join(map(str, list(shape)[:20]))[:300] or "no columns"
    if named is not None:
        layout = LAYOUTS[named]
        if lacking := layout.lacks(shape):
            raise InputError(
                f"not the layout {named}: found {found}",
                where,
                f"it wants {_wanted(layout, lacking)}; name another with --layout, or none",
            )
        return layout
    for layout in LAYOUTS.values():
        if not layout.lacks(shape):
            return layout
    near = sorted(LAYOUTS.values(), key=lambda layout: len(layout.lacks(shape)))[:NEAREST]
    wants = "; ".join(f"{each.name} wants {_wanted(each, each.lacks(shape))}" for each in near)
    raise InputError(f"no layout that is known: found {found}", where, f"{wants} besides")


def _wanted(layout: Layout, lacking: list[str]) -> str:
    return ", ".join(f"{name} {layout.needs[name]}".strip() for name in lacking)
