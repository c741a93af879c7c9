"""The published benchmarks, read from one folder in the layouts they are published in.

| folder | benchmark: columns | what lies in it |
|---|---|---|
| `advbench` | `adv_bench`: vanilla, suffix | `harmful_behaviors.csv`; `suffix.txt` |
| `xstest` | `xs_test`: safe, unsafe; `xs_test_help` | `xstest_prompts.csv`; \
`model_completions/*.csv` |
| `mm-safetybench` | `mm_safety_bench`: text, sd, typo, sd_typo | `processed_questions/*.json`, \
`TinyVersion_ID_List.json`, `imgs/<scenario>/{SD,TYPO,SD_TYPO}/<id>.jpg` |
| `figstep` | `fig_step` | `SafeBench-Tiny.csv` or `safebench.csv`, `images/` |
| `mossbench` | `moss_bench` | `images_information/information.json`, `images/` |
| `spa-vl` | `spa_vl_harm_eval`, `spa_vl_help_eval` | `test/harm*.parquet`, `test/help*.parquet` |
| `anthropic-helpful` | `anthropic_helpful` | `test.jsonl` or `test.jsonl.gz` |

A benchmark, a column or a picture that is not there is told as `Missing`, never passed over. The
texts stay where they are: nothing of them is part of this project.
"""

from components.evaluation.published.known import Published, benchmarks_of, suffix_of
from components.evaluation.published.reading import (
    labelled_answers,
    published_items,
    require_published,
)

__all__ = [
    "Published",
    "benchmarks_of",
    "labelled_answers",
    "published_items",
    "require_published",
    "suffix_of",
]
