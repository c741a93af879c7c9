"""One process of a training: `python -m spavl.alignment.worker FOLDER`, started by the launcher."""

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import torch.distributed as distributed
from pydantic import TypeAdapter

from spavl.alignment import processes
from spavl.alignment.failures import leave_error, process_name
from spavl.alignment.launching import RESULT, TASK
from spavl.alignment.process_works import FollowingWork, LeadingWork
from spavl.environment import die_with_parent
from spavl.errors import FAULT_OF_OURS, SpavlError
from spavl.shards import write_json
from spavl.work import Stage


def main(folder: Path) -> int:
    """Do this process's part of a task.

    Args:
        folder: Holds the task; result or error are left there.

    Returns:
        The exit code.
    """
    die_with_parent()
    try:
        _train(folder)
    except Exception as error:
        traceback.print_exc()
        leave_error(folder, process_name(int(os.environ["RANK"])), error)
        return error.exit_code if isinstance(error, SpavlError) else FAULT_OF_OURS
    return 0


def _train(folder: Path) -> None:
    task = json.loads((folder / TASK).read_text())
    module, _, name = task["function"].partition(":")
    function = getattr(import_module(module), name)
    hints = get_type_hints(function)
    arguments: dict[str, Any] = {
        key: TypeAdapter(hints[key]).validate_python(value)
        for key, value in task["arguments"].items()
    }
    processes.join(arguments["settings"])
    kind = LeadingWork if processes.is_leader() else FollowingWork
    result = function(kind(Stage(**task["stage"]), Path(task["work"])), **arguments)
    processes.wait_for_all()
    if processes.is_leader():
        write_json(folder / RESULT, result)
    distributed.destroy_process_group()


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what waits for a process that is gone would wait on at a plain exit
