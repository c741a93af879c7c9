"""Matplotlib figures as inline SVG that a strict Content-Security-Policy lets through."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from components.reporting.plots import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
FONT_SIZE = re.compile(r"([\d.]+)px")
# Of matplotlib's declarations, those that are its defaults or the page's business.
LEFT_OUT = {"font-family", "stroke-linejoin", "stroke-linecap"}
PLAIN = {"text.parse_math": False}  # names may hold dollar signs


def inline_svg(figure: "Figure", salt: str) -> str:
    """A figure as SVG for a page: text as text, no style element and no style attributes.

    Matplotlib writes style attributes, which a policy without `unsafe-inline` ignores, and a style
    element that would speak to the whole page. Declarations become presentation attributes here.

    Args:
        figure: The figure; what has the colour `INK` takes the page's own.
        salt: Makes the ids unlike those of other figures on the page.
    """
    import matplotlib

    # The salt fixes ids and no date is written: the same figure gives the same bytes.
    with matplotlib.rc_context({**PLAIN, "svg.hashsalt": salt, "svg.fonttype": "none"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(_references(root))))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        _unstyle(element)
    root.set("aria-hidden", "true")
    root.set("stroke-linejoin", "round")
    return ElementTree.tostring(root, encoding="unicode").replace(INK, "currentColor")


def save_png(figure: "Figure", path: Path) -> None:
    """The same figure as a PNG on white."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(PLAIN):
        figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})


def _references(root: ElementTree.Element) -> list[str]:
    """Attribute values that may point to an id."""
    return [value for element in root.iter() for value in element.attrib.values() if "#" in value]


def _unstyle(element: ElementTree.Element) -> None:
    declarations = element.attrib.pop("style", "")
    for name, value in re.findall(r"([\w-]+):\s*([^;]+)", declarations):
        if name == "font":
            element.set("font-size", FONT_SIZE.findall(value)[0])
            if "bold" in value:
                element.set("font-weight", "bold")
        elif name not in LEFT_OUT:
            element.set(name, value.strip())
