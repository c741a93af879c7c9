"""The few calls to Kubernetes' API that following a TrainJob takes, from within a pod.

Plain HTTP with the pod's own service account: what comes and goes is data that a schema describes.
A token is read for each request, since it is rotated. A server that is away for a while is waited
for; what it refuses is told.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from spavl.errors import AwayError, InputError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS_OF_A_CALL = 30.0
# 401: the token has expired; another is put in its place, and read with the next attempt.
PASSING = {401, 408, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Cluster:
    """How this pod reaches the API server, and for how long it waits for it.

    Attributes:
        url: The server.
        namespace: This pod's.
        pod: This pod's name.
        account: Folder of the service account's token and the server's certificate.
        patience: Seconds for which a server may be away.
        pause: Seconds between two attempts, and between two looks at a TrainJob.
    """

    url: str
    namespace: str
    pod: str
    account: Path = ACCOUNT
    patience: float = 600.0
    pause: float = 5.0

    @classmethod
    def of_pod(cls, stage: str) -> "Cluster":
        """The cluster that this process runs in.

        Args:
            stage: Its name, for the error.

        Raises:
            InputError: If this is no pod.
        """
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        if host is None or not (ACCOUNT / "namespace").exists():
            raise InputError(
                "several nodes train in a TrainJob, and this is no pod of a cluster",
                f"{stage}.num_nodes",
                "submit the run to Kubeflow Pipelines, or set num_nodes to 1",
            )
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        address = f"[{host}]" if ":" in host else host
        namespace = (ACCOUNT / "namespace").read_text().strip()
        return cls(f"https://{address}:{port}", namespace, os.environ["HOSTNAME"])

    def own_pod(self) -> dict[str, Any]:
        """This pod."""
        return self.json("GET", self.core(f"pods/{self.pod}")) or {}

    def core(self, path: str) -> str:
        """Path of a thing of Kubernetes' own."""
        return f"/api/v1/namespaces/{self.namespace}/{path}"

    def train_jobs(self, name: str = "") -> str:
        """Path of a TrainJob, or of all."""
        jobs = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{self.namespace}/trainjobs"
        return f"{jobs}/{name}" if name else jobs

    def json(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """A call's answer; None where there is no such thing.

        Raises:
            InputError: If the server refuses.
            AwayError: If it stays away.
        """
        answer = self._call(method, path, body, query)
        return None if answer is None else answer.json()

    def text(self, path: str, **query: str) -> str:
        """A text, e.g. a pod's log, asked for once; empty where there is none.

        Raises:
            InputError: If the server refuses.
            AwayError: If it cannot be had now.
        """
        try:
            answer = self._once("GET", path, None, query)
        except requests.RequestException as error:
            raise AwayError(f"no Kubernetes API at {self.url} ({type(error).__name__})") from None
        if answer.status_code in PASSING:
            raise AwayError(f"no answer from {path} (it answers {answer.status_code})")
        found = _checked(answer, "GET", path)
        return "" if found is None else found.text

    def _call(
        self, method: str, path: str, body: Any, query: dict[str, str]
    ) -> requests.Response | None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = self._once(method, path, body, query)
                if answer.status_code not in PASSING:
                    return _checked(answer, method, path)
                reason = f"it answers {answer.status_code}"
            except requests.RequestException as error:
                reason = type(error).__name__
            if time.monotonic() > deadline:
                raise AwayError(f"no Kubernetes API at {self.url} ({reason})")
            time.sleep(self.pause)

    def _once(self, method: str, path: str, body: Any, query: dict[str, str]) -> requests.Response:
        token, certificate = self.account / "token", self.account / "ca.crt"
        return requests.request(
            method,
            self.url + path,
            params=query,
            json=body,
            headers={"Authorization": f"Bearer {token.read_text().strip()}"},
            verify=str(certificate) if certificate.exists() else True,
            timeout=SECONDS_OF_A_CALL,
        )


def _checked(answer: requests.Response, method: str, path: str) -> requests.Response | None:
    # 409: what is to be made is there already, e.g. because the answer to a first call was lost.
    # 404 to what is to be made: the server knows no such kind of thing.
    if answer.status_code == 409 or (answer.status_code == 404 and method != "POST"):
        return None
    if not answer.ok:
        try:
            message = str(answer.json().get("message", answer.reason))
        except ValueError:
            message = answer.reason
        raise InputError(
            f"Kubernetes refuses ({answer.status_code}): {message}",
            path,
            "see the chart's runner.trainJobs, and that Kubeflow Trainer is installed",
        )
    return answer
