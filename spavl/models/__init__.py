"""Vision-language models: loading, prompting, reading pictures, generating, scoring, saving.

Comes in: folders in Hugging Face layout and decoded pictures. Goes out: loaded models and
processors, generated answers, saved folders. Nothing here knows stages or training.
"""
