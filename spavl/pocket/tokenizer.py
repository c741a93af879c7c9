"""A byte-level tokenizer on which the pocket world's words are one token each.

Any text can be written: what is no known word falls back to bytes, never to `<unk>`.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

IMAGE_TOKEN = "<image>"
MAX_LENGTH = 1024
_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", IMAGE_TOKEN]
_WORDS_FIT = 4000  # more merges than the corpus has: every word becomes one token

# {system}\nUSER: <image>\n{question} ASSISTANT: {answer}</s>. A prompt ends in "ASSISTANT:" without
# a space, the answer's first token carries it: so prompt tokens are a prefix of the row's tokens.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['content'] is string -%}
{%- set text = message['content'] -%}
{%- set pictures = 0 -%}
{%- else -%}
{%- set text = message['content'] | selectattr('type', 'equalto', 'text')
    | map(attribute='text') | join(' ') -%}
{%- set pictures = message['content'] | selectattr('type', 'equalto', 'image') | list | length -%}
{%- endif -%}
{%- if message['role'] == 'system' -%}
{{ text + '\n' }}
{%- elif message['role'] == 'user' -%}
{{ 'USER: ' + '<image>\n' * pictures + text }}
{%- else -%}
{{ ' ASSISTANT: ' + text + eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}
"""


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Trains byte-level BPE on the texts; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_WORDS_FIT,
        min_frequency=1,
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": IMAGE_TOKEN},
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
