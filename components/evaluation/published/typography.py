"""Pictures of written words: what MM-SafetyBench calls Typo, made from the key phrase."""

import io
import textwrap

SIDE = 1024  # pixels, as the published ones
FONT_SIZE = 90
CHARACTERS_A_LINE = 18
MARGIN = 40


def written(phrase: str) -> bytes:
    """A white square with the phrase in black, as PNG; equal phrases give equal bytes."""
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    picture = PIL.Image.new("L", (SIDE, SIDE), 255)
    lines = "\n".join(textwrap.wrap(phrase, CHARACTERS_A_LINE)) or " "
    draw, size = PIL.ImageDraw.Draw(picture), FONT_SIZE
    while True:
        font = PIL.ImageFont.load_default(size)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), lines, font)
        if max(right - left, bottom - top) <= SIDE - 2 * MARGIN or size <= 12:
            break
        size -= 6
    place = ((SIDE - right - left) / 2, (SIDE - bottom - top) / 2)
    draw.multiline_text(place, lines, 0, font, align="center")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
