"""Environment variables of a pod that come as files: a mounted ConfigMap, mounted Secrets.

As entries of a pod's specification they would stand six times a task in the status of a workflow,
and an entry of a name that KFP sets as well makes the specification invalid.
"""

import os
import re
from pathlib import Path

ENVIRONMENT = Path("/etc/spa-vl/environment")
SECRETS = Path("/etc/spa-vl/secrets")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def load_pod_environment(environment: Path = ENVIRONMENT, secrets: Path = SECRETS) -> None:
    """Give this process, and those it starts, the variables that lie beside it as files.

    A variable that is set already stays as it is. Other files, e.g. Kubernetes' own `..data`, are
    left alone.

    Args:
        environment: A folder with a file for each variable.
        secrets: A folder of such folders.
    """
    for folder in (environment, *sorted(secrets.glob("[!.]*"))):
        for file in sorted(folder.glob("[A-Z]*")):
            if _NAME.fullmatch(file.name) and file.is_file():
                os.environ.setdefault(file.name, file.read_text().removesuffix("\n"))
