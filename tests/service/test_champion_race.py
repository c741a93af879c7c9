"""Publishers on several machines that share a bucket, at once, against a real server."""

import os
import subprocess
import sys
from pathlib import Path

from spavl.champion import reigning_champion
from tests.service.servers import S3Server

PUBLISHER = """
import sys
from spavl.champion import DECISION, champions_folder, crown
from spavl.errors import BusyError
from spavl.shards import write_json
from spavl.storage import keep
digest = sys.argv[1]
folder = champions_folder() / digest
folder.mkdir(parents=True)
write_json(folder / DECISION, {"champion": None})
keep(folder)
print("ready", flush=True)
sys.stdin.readline()
try:
    crown({"name": "vlm", "digest": digest}, None, {digest})
    print("crowned")
except BusyError as error:
    print(error)
"""


def test_of_publishers_on_several_machines_one_is_crowned(s3: S3Server, tmp_path: Path) -> None:
    machines = {}
    for digest in ("one", "two", "three"):
        machines[digest] = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, digest],
            env={**os.environ, "SPAVL_SCRATCH": str(tmp_path / digest)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert [each.stdout.readline() for each in machines.values() if each.stdout] == ["ready\n"] * 3
    for each in machines.values():
        if each.stdin:
            each.stdin.write("go\n")
            each.stdin.flush()
    told = {digest: each.communicate()[0] for digest, each in machines.items()}
    crowned = [digest for digest, text in told.items() if text == "crowned\n"]
    assert len(crowned) == 1, told
    assert sum("another model became champion of vlm meanwhile" in t for t in told.values()) == 2
    reigning = reigning_champion("vlm")
    assert reigning is not None
    assert reigning.digest == crowned[0]
