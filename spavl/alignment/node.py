"""One node of a TrainJob: `python -m spavl.alignment.node FOLDER`, in each of its pods.

Runs the node's processes as Kubeflow Trainer numbers them; SIGTERM is passed on to them. Ends with
the exit code that says why, 75 where training can go on.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from spavl.alignment.failures import leave_error
from spavl.alignment.following import HEARTBEAT
from spavl.alignment.launching import Node, run_node
from spavl.errors import FAULT_OF_OURS, SpavlError
from spavl.pod_environment import load_pod_environment

SECONDS_WITHOUT_STEP = 1800.0  # a step that failed is started again within this
SECONDS_BETWEEN_LOOKS = 10.0


def main(folder: Path) -> int:
    """Run this node's processes to their end.

    Args:
        folder: Holds the task; errors are left there.

    Returns:
        The exit code.
    """
    load_pod_environment()
    threading.Thread(target=_end_without_step, args=(folder / HEARTBEAT,), daemon=True).start()
    number = int(os.environ["PET_NODE_RANK"])
    node = Node(
        processes=int(os.environ["PET_NPROC_PER_NODE"]),
        rendezvous=f"tcp://{os.environ['PET_MASTER_ADDR']}:{os.environ['PET_MASTER_PORT']}",
        number=number,
        nodes=int(os.environ["PET_NNODES"]),
    )
    try:
        run_node(folder, node)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        leave_error(folder, f"node-{number:05d}", error)
        return error.exit_code if isinstance(error, SpavlError) else FAULT_OF_OURS
    return 0


def _end_without_step(heartbeat: Path) -> None:
    """SIGTERM to this process when the step has long been gone: nobody waits for the result."""
    last, changed = 0.0, time.monotonic()
    while time.monotonic() - changed < SECONDS_WITHOUT_STEP:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        with suppress(OSError):  # not there yet, or its volume is away
            beat = heartbeat.stat().st_mtime
            if beat != last:
                last, changed = beat, time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
