"""The few calls to Kubernetes' API that pods of ours make, with their own service account.

Plain HTTP: what comes and goes is data that a schema describes. A token is read for each request,
since it is rotated. A server that is away for a while is waited for; what it refuses is told.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from spavl.errors import AwayError, InputError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS_OF_A_CALL = 30.0
# 401: the token has expired; another is put in its place, and read with the next attempt.
PASSING = {401, 408, 429, 500, 502, 503, 504}
# Only names, labels and annotations: a Workflow may be a megabyte, and changes every few seconds.
METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"


class ForgottenError(Exception):
    """The server no longer knows what happened since a version: list again."""


@dataclass(frozen=True)
class Cluster:
    """How this pod reaches the API server, and for how long it waits for it.

    Attributes:
        url: The server.
        namespace: This pod's.
        pod: This pod's name.
        account: Folder of the service account's token and the server's certificate.
        patience: Seconds for which a server may be away.
        pause: Seconds between two attempts, and between two looks at what is followed.
        remedy: What to do about a refusal.
    """

    url: str
    namespace: str
    pod: str
    account: Path = ACCOUNT
    patience: float = 600.0
    pause: float = 5.0
    remedy: str = "see the chart's runner.trainJobs, and that Kubeflow Trainer is installed"

    @classmethod
    def of_pod(cls, outside: InputError, **attributes: Any) -> "Cluster":
        """The cluster that this process runs in.

        Args:
            outside: What to say where this is no pod.
            attributes: Attributes other than the address.

        Raises:
            InputError: If this is no pod.
        """
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        if host is None or not (ACCOUNT / "namespace").exists():
            raise outside
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        address = f"[{host}]" if ":" in host else host
        namespace = (ACCOUNT / "namespace").read_text().strip()
        url = f"https://{address}:{port}"
        return cls(url, namespace, os.environ.get("HOSTNAME", ""), **attributes)

    def own_pod(self) -> dict[str, Any]:
        """This pod."""
        return self.json("GET", self.core(f"pods/{self.pod}")) or {}

    def core(self, path: str) -> str:
        """Path of a thing of Kubernetes' own."""
        return f"/api/v1/namespaces/{self.namespace}/{path}"

    def train_jobs(self, name: str = "") -> str:
        """Path of a TrainJob, or of all."""
        return self._custom("trainer.kubeflow.org/v1alpha1", "trainjobs", name)

    def workflows(self, name: str = "") -> str:
        """Path of a Workflow, or of all."""
        return self._custom("argoproj.io/v1alpha1", "workflows", name)

    def _custom(self, version: str, kind: str, name: str) -> str:
        path = f"/apis/{version}/namespaces/{self.namespace}/{kind}"
        return f"{path}/{name}" if name else path

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
        found = self._checked(answer, "GET", path)
        return "" if found is None else found.text

    def metadata(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """Metadata of all things below a path, and the version from which to watch on.

        Raises:
            InputError: If the server refuses, or has no such kind of thing.
            AwayError: If it stays away.
        """
        answer = self._call("GET", path, None, query, METADATA.format("List"))
        if answer is None:
            raise InputError("the cluster has no such kind of thing", path, self.remedy)
        content = answer.json()
        # A server with nothing to list says null, in metadata more readily than elsewhere.
        found = [each["metadata"] for each in content["items"] or []]
        return found, content["metadata"]["resourceVersion"]

    def changes(self, path: str, version: str, seconds: int, **query: str) -> Iterator[Any]:
        """What changes below a path, as (kind of change, metadata), until the server ends it.

        A connection that breaks ends it too: watch on from the last version seen.

        Raises:
            ForgottenError: If the server no longer knows the version.
            InputError: If it refuses.
            AwayError: If it is away.
        """
        query |= {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query["timeoutSeconds"] = str(seconds)
        try:
            answer = self._once("GET", path, None, query, METADATA.format(""), seconds)
            with answer:
                if answer.status_code == 410:
                    raise ForgottenError
                if answer.status_code in PASSING:
                    raise AwayError(f"no answer from {path} (it answers {answer.status_code})")
                if self._checked(answer, "GET", path) is None:
                    raise ForgottenError
                yield from _events(answer)
        except (requests.RequestException, ValueError) as error:  # also half a line
            raise AwayError(f"no Kubernetes API at {self.url} ({type(error).__name__})") from None

    def _call(
        self, method: str, path: str, body: Any, query: dict[str, str], accept: str = ""
    ) -> requests.Response | None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = self._once(method, path, body, query, accept)
                if answer.status_code not in PASSING:
                    return self._checked(answer, method, path)
                reason = f"it answers {answer.status_code}"
            except requests.RequestException as error:
                reason = type(error).__name__
            if time.monotonic() > deadline:
                raise AwayError(f"no Kubernetes API at {self.url} ({reason})")
            time.sleep(self.pause)

    def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: dict[str, str],
        accept: str = "",
        stream: float = 0,
    ) -> requests.Response:
        """One request; a stream may be silent for so many seconds."""
        token, certificate = self.account / "token", self.account / "ca.crt"
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        return requests.request(
            method,
            self.url + path,
            params=query,
            json=body,
            headers={**headers, **({"Accept": accept} if accept else {})},
            verify=str(certificate) if certificate.exists() else True,
            timeout=(SECONDS_OF_A_CALL, SECONDS_OF_A_CALL + stream),
            stream=bool(stream),
        )

    def _checked(
        self, answer: requests.Response, method: str, path: str
    ) -> requests.Response | None:
        # 409: what is to be made is there already, e.g. since the answer to a first call was lost.
        # 404 to what is to be made: the server knows no such kind of thing.
        if answer.status_code == 409 or (answer.status_code == 404 and method != "POST"):
            return None
        if not answer.ok:
            try:
                message = str(answer.json().get("message", answer.reason))
            except ValueError:
                message = answer.reason
            what = f"Kubernetes refuses ({answer.status_code}): {message}"
            raise InputError(what, path, self.remedy)
        return answer


def _events(answer: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in answer.iter_lines(chunk_size=None):
        if not line:
            continue
        event = json.loads(line)
        if event["type"] == "ERROR":
            if event["object"].get("code") == 410:
                raise ForgottenError
            raise AwayError(f"the watch ended: {event['object'].get('message', '')}")
        yield event["type"], event["object"]["metadata"]
