"""Data sets as others lay them out, read and written row by row.

A row has a picture, a question and, for preferences, a chosen and a rejected answer. How its
columns are called is a layout's (`LAYOUTS`); those in which SPA-VL is published differ from split
to split (`COLUMNS`). A published data set is a folder of JSON or JSON lines beside a folder of
pictures, a folder of Parquet files that hold the pictures themselves, or a data set of the Hugging
Face hub. Ours is a folder with `images`, `train`, `validation`, `test` and `test/items`. What goes
out comes in again as the same rows.
"""

from spavl.published.exporting import Manner, export
from spavl.published.importing import import_
from spavl.published.layouts import LAYOUTS
from spavl.published.rows import COLUMNS, Row

__all__ = ["COLUMNS", "LAYOUTS", "Manner", "Row", "export", "import_"]
