"""The overlays as kustomize builds them, the applications, and releases that stay as they are."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from components.configuration import profile_names
from pipelines.compilation import PIPELINES, stage_image
from pipelines.recurring import read_declaration
from pipelines.releasing import RELEASES, pipeline_version, write_release
from pipelines.targeting import Target
from spavl.errors import InputError
from tests.deploy.policy import findings
from tests.deploy.rendering import CHART, MANIFESTS, OVERLAYS, built, built_text, objects, title
from tests.deploy.tools import run
from tests.deploy.validation import problems, supported_versions

REGISTRY = "registry.example.com"
ALL = [*(f"overlays/{name}" for name in OVERLAYS), "argocd", "argocd-single-user"]


@pytest.mark.parametrize("folder", ALL)
def test_every_object_is_valid_and_keeps_the_rules(folder: str) -> None:
    resources = built(folder)
    for version in supported_versions():
        assert problems(resources, version) == []
    assert [finding for resource in resources for finding in findings(resource)] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_charts_objects_of_an_environment_keep_the_rules(name: str) -> None:
    values = MANIFESTS / "overlays" / name / "values.yaml"
    arguments = ("template", "spa-vl", str(CHART), "--namespace", namespace(name))
    resources = objects(run("helm", *arguments, "--values", str(values)).stdout)
    assert problems(resources, supported_versions()[-1]) == []
    assert [finding for resource in resources for finding in findings(resource)] == []
    accounts = {r["metadata"]["name"] for r in resources if r["kind"] == "ServiceAccount"}
    [job] = [r for r in built(f"overlays/{name}") if r["kind"] == "Job"]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] in accounts


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_environment_says_what_it_needs_and_how_it_is_installed(name: str) -> None:
    text = (MANIFESTS / "overlays" / name / "kustomization.yaml").read_text()
    head = text[: text.index("\napiVersion")]
    assert "# Needs: " in head
    assert f"--values manifests/overlays/{name}/values.yaml" in head
    assert f"kubectl apply --kustomize manifests/overlays/{name}\n" in head
    spaces = set(re.findall(r"(?:-n|--namespace) (\S+)", head))
    assert spaces == {namespace(name)}


def namespace(overlay: str) -> str:
    path = MANIFESTS / "overlays" / overlay / "kustomization.yaml"
    return str(yaml.safe_load(path.read_text())["namespace"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_environment_is_one_pipeline_one_version_and_one_job(name: str) -> None:
    resources = {title(resource): resource for resource in built(f"overlays/{name}")}
    kinds = sorted(each.split("/")[0] for each in resources)
    assert kinds == ["ConfigMap", "ConfigMap", "Job", "Pipeline", "PipelineVersion"]
    released = resources["ConfigMap/spa-vl-release"]["data"]["version"]
    version = resources[f"PipelineVersion/{released}"]
    assert version["spec"]["pipelineName"] == "spa-vl"
    assert "Prune=false" in version["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
    spaces = {resource["metadata"]["namespace"] for resource in resources.values()}
    assert spaces == {namespace(name)}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_recurring_run_is_declared_in_full(name: str) -> None:
    declared = read_declaration(MANIFESTS / "overlays" / name / "recurring-run.yaml")
    assert declared.parameters["profile"] in profile_names()
    version = next(r for r in built(f"overlays/{name}") if r["kind"] == "PipelineVersion")
    known = version["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert set(declared.parameters) <= set(known)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_recurring_pocket_run_that_is_on_asks_for_no_gpu(name: str) -> None:
    declared = read_declaration(MANIFESTS / "overlays" / name / "recurring-run.yaml")
    version = next(r for r in built(f"overlays/{name}") if r["kind"] == "PipelineVersion")
    if declared.enabled and declared.parameters["profile"] == "pocket":
        assert '"accelerator":' not in json.dumps(version["spec"])


def test_the_job_runs_after_the_sync_and_again_at_the_next() -> None:
    [job] = [r for r in built("overlays/production") if r["kind"] == "Job"]
    annotations = job["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"


def test_promotion_changes_one_line_and_the_older_version_stays(tmp_path: Path) -> None:
    """A new release in production: one changed line, a new immutable name, the job follows."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    releases = tmp_path / "manifests" / "releases"
    write_release("9.9.9", Target(REGISTRY), releases)
    path = tmp_path / "manifests" / "overlays" / "production" / "kustomization.yaml"
    before = path.read_text()
    after = re.sub(r"releases/\S+", "releases/9.9.9", before)
    changed = [
        pair
        for pair in zip(before.splitlines(), after.splitlines(), strict=True)
        if pair[0] != pair[1]
    ]
    assert len(changed) == 1
    path.write_text(after)
    text = run("kubectl", "kustomize", str(path.parent)).stdout
    resources = {title(resource): resource for resource in objects(text)}
    assert "PipelineVersion/spa-vl-9.9.9" in resources
    assert resources["ConfigMap/spa-vl-release"]["data"]["version"] == "spa-vl-9.9.9"
    image = resources["Job/spa-vl-recurring-run"]["spec"]["template"]["spec"]["containers"][0]
    assert image["image"] == stage_image("spa-vl/pipeline:pipelines.recurring", REGISTRY)


def test_a_release_is_written_once_and_refused_when_it_would_change(tmp_path: Path) -> None:
    first = write_release("0.2.0", Target(REGISTRY), tmp_path)
    assert [path.name for path in first] == ["pipelineversion.yaml", "kustomization.yaml"]
    assert write_release("0.2.0", Target(REGISTRY), tmp_path) == []
    with pytest.raises(InputError, match=r"the release exists \(0\.2\.0\)"):
        write_release("0.2.0", Target("elsewhere.example"), tmp_path)
    assert write_release("0.2.0", Target(REGISTRY, "laptop"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.2.0", "0.2.0-laptop"]


@pytest.mark.parametrize("version", ["1", "v0.2.0", "0.2.0-rc", "latest"])
def test_what_is_no_version_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no version"):
        write_release(version, Target(REGISTRY), tmp_path)


def test_a_release_needs_a_registry(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="registry"):
        write_release("0.2.0", Target(), tmp_path)


def test_our_resource_is_the_sdks_own_but_for_images_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "sdk.yaml"
    options = KubernetesManifestOptions(pipeline_name="spa-vl", pipeline_version_name="spa-vl-1")
    compiler.Compiler().compile(
        PIPELINES["spa_vl"],
        str(path),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=options,
    )
    [theirs] = objects(path.read_text())
    ours = pipeline_version("spa-vl-1", Target(REGISTRY))
    for resource in (ours, theirs):
        del resource["metadata"]
        spec = resource["spec"]["pipelineSpec"]
        for executor in spec["deploymentSpec"]["executors"].values():
            for of_the_target in ("image", "resources", "command", "args"):
                executor["container"].pop(of_the_target, None)
        for component in spec["components"].values():
            without(component, "description")
        for pod in executors_of(resource["spec"]["platformSpec"]):
            for entry in (e for each in pod.values() if isinstance(each, list) for e in each):
                for name in ("pvcNameParameter", "configMapNameParameter", "secretNameParameter"):
                    entry.pop(name, None)
        spec["root"]["inputDefinitions"]["parameters"]["profile"].pop("literals", None)
    assert ours == theirs


def executors_of(platform: Any) -> list[Any]:
    return list(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values())


def without(tree: Any, *names: str) -> None:
    """Leave keys out wherever they are texts."""
    if isinstance(tree, dict):
        for name in names:
            if isinstance(tree.get(name), str):
                del tree[name]
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        without(each, *names)


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir()))
def test_a_released_version_names_everything_by_content(release: str) -> None:
    text = (RELEASES / release / "pipelineversion.yaml").read_text()
    version = yaml.safe_load(text)
    assert version["metadata"]["name"] == f"spa-vl-{release}"
    executors = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].values()
    for executor in executors:
        image = executor["container"]["image"]
        assert re.fullmatch(rf"{REGISTRY}/spa-vl/(pipeline|trainer):[0-9a-f]{{16}}", image)
        assert executor["container"]["resources"]["resourceMemoryLimit"]
    accelerators = [e for e in executors if "accelerator" in e["container"]["resources"]]
    assert bool(accelerators) != release.endswith("-laptop")
    assert len(text) < 1_000_000  # etcd takes no object over 1.5 MB


@pytest.mark.parametrize(
    ("folder", "environments"),
    [
        ("argocd", ["dev", "staging", "production"]),  # Profiles of a KFP for several users
        ("argocd-single-user", ["kubeflow"]),
    ],
)
def test_the_applications_point_at_what_is_here(folder: str, environments: list[str]) -> None:
    [apps] = [r for r in built(folder) if r["kind"] == "ApplicationSet"]
    elements = apps["spec"]["generators"][0]["list"]["elements"]
    assert [each["environment"] for each in elements] == environments
    chart, overlay = apps["spec"]["template"]["spec"]["sources"]
    root = MANIFESTS.parent
    for each in elements:
        assert each["namespace"] == namespace(each["environment"])
        path, values = (
            text.replace("{{ .environment }}", each["environment"])
            for text in (overlay["path"], chart["helm"]["valueFiles"][0])
        )
        assert (root / path / "kustomization.yaml").exists()
        assert (root / chart["path"] / values).resolve().exists()
    [project] = [r for r in built(folder) if r["kind"] == "AppProject"]
    allowed = {each["namespace"] for each in project["spec"]["destinations"]}
    assert allowed == {each["namespace"] for each in elements}


@pytest.mark.parametrize("folder", ["argocd", "argocd-single-user"])
def test_the_project_allows_no_namespace_and_no_secret(folder: str) -> None:
    [project] = [r for r in built(folder) if r["kind"] == "AppProject"]
    assert "*" not in str(project["spec"]["destinations"])
    assert {"group": "", "kind": "Secret"} in project["spec"]["namespaceResourceBlacklist"]
    cluster_wide = {each["kind"] for each in project["spec"]["clusterResourceWhitelist"]}
    assert cluster_wide == {"ClusterQueue", "ResourceFlavor"}
    [apps] = [r for r in built(folder) if r["kind"] == "ApplicationSet"]
    assert "CreateNamespace=false" in apps["spec"]["template"]["spec"]["syncPolicy"]["syncOptions"]


@pytest.mark.parametrize("folder", ALL)
def test_no_secret_value_and_no_path_of_a_machine(folder: str) -> None:
    text = built_text(folder)
    assert not re.findall(r"(?m)^kind: Secret$", text)
    assert not re.findall(r"(?<![\w.$\"}])/(?:home|root|Users|opt)/[\w.-]+", text)
