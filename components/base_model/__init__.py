"""The base model: where every alignment starts from.

Comes in: settings. Goes out: the URI and content digest of a model folder in Hugging Face layout.
The pocket world's base is trained on the spot and kept in the user's cache folder under a digest of
its code, settings and torch version, so that later runs take it as it is. Any other base is a
folder that is checked and named by its content.
"""

from components.base_model.preparing import BaseModelHandle, prepare

__all__ = ["BaseModelHandle", "prepare"]
