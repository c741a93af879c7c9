"""One side of the data benchmark in its own process: prints its seconds and its peak in MiB."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.data_world import Shape
from benchmarks.measuring import peak_mib


def main(side: str, world: str, out: str, shape_json: str) -> None:
    """Do all steps once; what is imported before is not timed."""
    module = {"ours": "benchmarks.data", "baseline": "benchmarks.data_baseline"}[side]
    work = getattr(importlib.import_module(module), side)
    for library in ("pandas", "pyarrow.compute", "pyarrow.parquet"):  # pyarrow imports pandas late
        importlib.import_module(library)
    before = peak_mib()
    begun, worked = time.perf_counter(), sum(os.times()[:4])
    work(Path(world), Path(out), Shape(**json.loads(shape_json)))
    told = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": sum(os.times()[:4]) - worked,  # of processes it started too
        "peak_mib": peak_mib(),
        "imports_mib": before,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
