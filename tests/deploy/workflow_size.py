"""How long the Workflow object of a run is at its end, computed from a compiled pipeline.

As KFP 2.17.0 (backend/src/v2/compiler/argocompiler, backend/src/v2/driver) and Argo 4.0.5 write it
where `templateDefaults` have a retry strategy: every node stands there twice, as what is retried
and as its attempt. What differs from run to run has the length that it has in a real one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]
NAME, RUN, HASH = "spa-vl-abcde", "0" * 8 + "-0000-0000-0000-" + "0" * 12, "0" * 64
TIME = "2026-01-01T00:00:00Z"
BUCKET = "mlpipeline/v2/artifacts/spa-vl"
SERVERS = (
    *("--ml_pipeline_server_address", "ml-pipeline.kubeflow.svc.cluster.local"),
    *("--ml_pipeline_server_port", "8887", "--mlmd_server_address"),
    *("metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080"),
    *("--publish_logs", "true", "--publish_logs", "true", "--"),
)
# Templates that do not depend on the pipeline, and the object's own fields.
CONSTANT = 2405 + 2217 + 1571 + 2944 + 1346 + 501 + 1500


def size(value: object) -> int:
    """Length as JSON, as Argo measures it."""
    return len(_json(value))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Run:
    """A compiled pipeline with what a run gives it.

    Attributes:
        ir: The intermediate representation.
        pods: Its executors' Kubernetes part.
        settings: Value of the parameter `settings` (and of the like) by the name of the output of
            the configuration that it comes from.
        items: Items of the loops.
    """

    ir: Tree
    pods: Tree
    settings: Mapping[str, object]
    items: int

    @property
    def length(self) -> int:
        """Bytes of the Workflow at its end."""
        return CONSTANT + self._arguments() + self._templates() + self._nodes()

    def _components(self) -> Iterator[tuple[str, Tree]]:
        yield "root", self.ir["root"]
        yield from self.ir["components"].items()

    def _container(self, component: Tree) -> Tree:
        executors: Tree = self.ir["deploymentSpec"]["executors"]
        return dict(executors[component["executorLabel"]]["container"])

    def _arguments(self) -> int:
        total = 0
        for name, component in self._components():
            leaf = "executorLabel" in component
            title = f"components-{HASH if leaf else name}"
            total += size({"name": title, "value": _json(component)}) + 1
            if leaf:
                container, pod = self._container(component), self.pods[component["executorLabel"]]
                total += size({"name": f"implementations-{HASH}", "value": _json(container)}) + 1
                total += size({"name": f"kubernetes-{name}", "value": _json(pod)}) + 1
        return total

    def _templates(self) -> int:
        total = 0
        for _, component in self._components():
            for name, task in component.get("dag", {}).get("tasks", {}).items():
                inner = self.ir["components"][task["componentRef"]["name"]]
                # A driver with the task, and what it drives, with their parameters' placeholders.
                total += size(_json(task)) + 12 * len(name)
                total += 1330 if "executorLabel" in inner else 870
        return total

    def _nodes(self) -> int:
        total = self._driver_nodes("root-driver", "", self.ir["root"], {}, "root")
        total += 2 * self._node("", "entrypoint", {}) + 2 * self._node("root", "root", {})
        return total + self._dag_nodes(self.ir["root"], f"{NAME}(0).root(0)")

    def _dag_nodes(self, dag: Tree, path: str) -> int:
        total = 0
        for name, task in dag["dag"]["tasks"].items():
            component = self.ir["components"][task["componentRef"]["name"]]
            loop = "parameterIterator" in task
            for number in range(self.items if loop else 1):
                place = f"{path}.{name}(0)" + (f".iteration({number}:{number})(0)" if loop else "")
                total += self._task_nodes(name, task, component, place)
            if loop:  # the loop's own driver and its DAG
                total += self._driver_nodes(f"{path}.{name}-driver", name, component, task, name)
                total += 4 * self._node(f"{path}.{name}", name, {"parent-dag-id": "21"})
        return total

    def _task_nodes(self, name: str, task: Tree, component: Tree, place: str) -> int:
        total = self._driver_nodes(f"{place}-driver", name, component, task, name)
        if "dag" in component:
            total += 2 * self._node(place, name, {"parent-dag-id": "21"})
            return total + self._dag_nodes(component, place)
        patch = self._patch(name, task, component)
        labels = self.pods[component["executorLabel"]]["podMetadata"]["labels"]
        given = {"pod-spec-patch": patch}
        for number, (key, value) in enumerate(sorted(labels.items()), 1):
            given |= {f"pod-metadata-label-key-{number}": key}
            given |= {f"pod-metadata-label-val-{number}": value}
        given |= {"retry-max-count": "5", "retry-backoff-duration": "30"}
        given |= {"retry-backoff-factor": "2", "retry-backoff-max-duration": "345600"}
        outer = self._node(place, "metadata-0-2-retry-system-container-executor", given)
        inner = self._node(
            f"{place}.executor(0)", "metadata-0-2-retry-system-container-impl", given
        )
        logs = self._logs("metadata-0-2-retry-system-container-impl")
        return total + 2 * outer + 2 * (inner + logs)

    def _driver_nodes(self, path: str, name: str, component: Tree, task: Tree, title: str) -> int:
        given = {"component": _json(component), "task": _json(task), "task-name": name}
        given |= {"parent-dag-id": "21", "iteration-index": "-1"}
        made = {"execution-id": "22", "iteration-count": "0", "condition": "nil"}
        template = "system-dag-driver"
        if "executorLabel" in component:
            template = "system-container-driver"
            given |= {"container": _json(self._container(component))}
            given |= {"kubernetes-config": _json(self.pods[component["executorLabel"]])}
            made = {"pod-spec-patch": self._patch(title, task, component)}
            made |= {"cached-decision": "false", "condition": "nil"}
        else:
            given |= {"runtime-config": "{}", "driver-type": "DAG"}
        outputs = [
            {
                "name": key,
                "value": value,
                "valueFrom": {"default": "", "path": f"/tmp/outputs/{key}"},
            }
            for key, value in made.items()
        ]
        return 2 * (self._node(path, template, given) + size(outputs) + self._logs(template))

    def _logs(self, template: str) -> int:
        key = f"private-artifacts/kubeflow/{NAME}/2026/11/29/{NAME}-{template}-0000000000/main.log"
        return size({"artifacts": [{"name": "main-logs", "s3": {"key": key}}], "exitCode": "0"})

    def _node(self, path: str, template: str, given: Mapping[str, str]) -> int:
        """A node of the status, but for its outputs; between an attempt and what is retried."""
        number = f"{NAME}-0000000000"
        node = {
            "boundaryID": number,
            "children": [number],
            "displayName": path.rsplit(".", 1)[-1],
            "finishedAt": TIME,
            "id": number,
            "inputs": {"parameters": [{"name": k, "value": v} for k, v in given.items()]},
            "name": path,
            "phase": "Succeeded",
            "progress": "1/1",
            "resourcesDuration": {"cpu": 10, "memory": 100},
            "startedAt": TIME,
            "templateName": template,
            "templateScope": f"local/{NAME}",
            "type": "Retry",
        }
        return size({number: node}) + 20

    def _patch(self, name: str, task: Tree, component: Tree) -> str:
        """What the driver of a task hands on: a patch of its pod's specification."""
        pod = self.pods[component["executorLabel"]]
        return _json({"volumes": _volumes(pod), "containers": [self._main(name, task, component)]})

    def _main(self, name: str, task: Tree, component: Tree) -> Tree:
        container, pod = self._container(component), self.pods[component["executorLabel"]]
        spoken = json.dumps(self._executor_input(name, task, component), separators=(", ", ":"))
        command = ["/kfp-launcher/launch", "--pipeline_name", "spa-vl", "--run_id", RUN]
        command += ["--execution_id", "22", "--executor_input", spoken, "--component_spec"]
        command += [json.dumps(component, separators=(", ", ":")), "--pod_name"]
        command += ["$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)", *SERVERS]
        path = {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}
        resources = {"cpu": "100m", "memory": "512Mi"}
        return {
            "name": "main",
            "image": container["image"],
            "command": command,
            "args": [*container["command"], *container["args"]],
            "env": [{"name": "SPAVL_RUN_ID", "valueFrom": path}],
            "resources": {"limits": resources, "requests": resources},
            "volumeMounts": [
                {"name": volume["name"], "mountPath": mount}
                for volume, mount in zip(_volumes(pod), _mounts(pod), strict=True)
            ],
            "imagePullPolicy": "IfNotPresent",
            "securityContext": {
                "capabilities": {"drop": ["ALL"]},
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "runAsNonRoot": True,
            },
        }

    def _executor_input(self, name: str, task: Tree, component: Tree) -> Tree:
        place = f"{BUCKET}/{RUN}/{name}/{RUN}"
        sources = task.get("inputs", {}).get("parameters", {})
        inputs = component.get("inputDefinitions", {})
        outputs = component.get("outputDefinitions", {})
        parameters = {
            key: self._value(key, sources.get(key, {}), each["parameterType"])
            for key, each in inputs.get("parameters", {}).items()
        }
        artifacts = {
            key: {"artifacts": [_artifact(key, f"{place}/{key}", each)] * _count(each, self.items)}
            for key, each in inputs.get("artifacts", {}).items()
        }
        made = {
            key: {"artifacts": [_artifact(key, f"{place}/{key}", each)]}
            for key, each in outputs.get("artifacts", {}).items()
        }
        logs = {"artifactType": {"schemaTitle": "system.Artifact"}}
        made["executor-logs"] = {"artifacts": [_artifact("executor-logs", f"{place}/logs", logs)]}
        return {
            "inputs": {
                "parameterValues": parameters,
                **({"artifacts": artifacts} if artifacts else {}),
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": f"/tmp/kfp/outputs/{key}"}
                    for key in outputs.get("parameters", {})
                },
                "artifacts": made,
                "outputFile": f"/minio/{place}/output_metadata.json",
            },
        }

    def _value(self, key: str, source: Tree, kind: str) -> object:
        wanted = source.get("componentInputParameter", key).removeprefix("pipelinechannel--")
        output = source.get("taskOutputParameter", {}).get("outputParameterKey", wanted)
        for title in (output, wanted, wanted.removeprefix("resolve-configuration-")):
            if title in self.settings:
                return self.settings[title]
        if kind == "STRUCT":
            return {}
        return "0" * 64 if key.endswith("digest") else "/work/stages/collection/" + "0" * 32


def _artifact(name: str, uri: str, definition: Tree) -> Tree:
    return {
        "name": "123",
        "type": {"schemaTitle": definition["artifactType"]["schemaTitle"]},
        "uri": f"minio://{uri}",
        "metadata": {"display_name": name},
    }


def _count(definition: Tree, items: int) -> int:
    return items if definition.get("isArtifactList") else 1


def _volumes(pod: Tree) -> list[Tree]:
    found: list[Tree] = []
    for each in pod.get("pvcMount", []):
        name = _name(each, "pvc")
        found.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    for each in pod.get("secretAsVolume", []):
        name = _name(each, "secret")
        found.append({"name": name, "secret": {"secretName": name, "optional": True}})
    for each in pod.get("configMapAsVolume", []):
        name = _name(each, "configMap")
        found.append({"name": name, "configMap": {"name": name, "optional": False}})
    for each in pod.get("emptyDirMounts", []):
        found.append(
            {"name": each["volumeName"], "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
        )
    return found


def _mounts(pod: Tree) -> list[str]:
    lists = ("pvcMount", "secretAsVolume", "configMapAsVolume", "emptyDirMounts")
    return [each["mountPath"] for name in lists for each in pod.get(name, [])]


def _name(entry: Tree, kind: str) -> str:
    old = {"pvc": "constant", "secret": "secretName", "configMap": "configMapName"}[kind]
    return str(entry.get(old) or entry[f"{kind}NameParameter"]["runtimeValue"]["constant"])
