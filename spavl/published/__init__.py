"""Data sets in the layout in which SPA-VL is published, read and written row by row.

A row has a picture, a question and, for preferences, a chosen and a rejected answer; its columns
differ from split to split (`COLUMNS`). A published data set is a folder of JSON files beside a
folder of pictures, a folder of Parquet files that hold the pictures themselves, or a data set of
the Hugging Face hub. Ours is a folder with `images`, `train`, `validation`, `test` and
`test/items`. What goes out comes in again as the same rows.
"""

from spavl.published.exporting import export
from spavl.published.importing import import_
from spavl.published.rows import COLUMNS, Row

__all__ = ["COLUMNS", "Row", "export", "import_"]
