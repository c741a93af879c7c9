"""`spavl submit` against a server that fails on demand: each end is one line and the right code."""

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import kfp_server_api as api
import pytest
import yaml

from pipelines.cli import main
from tests.deploy.kfp_server import Call, Kfp, look, serving

QUICK = ("--every", "0.05", "--longest-silence", "30")
RELEASED = ("--version", "spa-vl-0.1.0")
HERE = ("--sizes", "laptop")
"""The pipeline of this checkout; anything else of these tests is the released one."""


@dataclass(frozen=True)
class Ended:
    """A command line that ended."""

    returncode: int
    stdout: str
    stderr: str


Submit = Callable[..., Ended]


@pytest.fixture
def kfp() -> Iterator[Kfp]:
    with serving(Kfp(looks=iter([look("SUCCEEDED")]))) as running:
        yield running


@pytest.fixture
def submit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Submit:
    """`spavl submit` in this process, for a user without any configuration of KFP's."""
    import kfp as sdk

    monkeypatch.setattr(sdk.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "no-context.json"))
    monkeypatch.delenv("SPAVL_KFP_TOKEN", raising=False)
    monkeypatch.setenv("KUBECONFIG", os.devnull)

    def run(kfp: Kfp | None, *arguments: str, **environment: str) -> Ended:
        host = () if "--port-forward" in arguments or kfp is None else ("--host", kfp.host)
        own = "--version" in arguments or arguments[:2] == HERE
        version = () if own else RELEASED
        monkeypatch.setattr("sys.argv", ["spavl", "submit", *host, *QUICK, *version, *arguments])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return run


def one_line(done: Ended) -> str:
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("spavl: ")
    return line


def test_a_run_is_started_as_asked_and_followed_to_its_end(kfp: Kfp, submit: Submit) -> None:
    link = api.V2beta1MetadataValue(value="https://mlflow.example/#/runs/7f")
    ended = look("SUCCEEDED", train_dpo="SUCCEEDED", train_dpo_driver="SUCCEEDED")
    ended.plugins_output = {"mlflow": api.V2beta1PluginOutput(entries={"run_url": link})}
    kfp.looks = iter(
        [
            look("PENDING"),
            look("RUNNING", train_dpo="RUNNING"),
            *[look("RUNNING", train_dpo="RUNNING")] * 2,
            ended,
        ]
    )
    asked = (
        "--set",
        "seed=7",
        "--pool",
        'gpu_pool={"pool": "a100"}',
        "--name",
        "first",
        "--mlflow-experiment",
        "ablations",
    )
    done = submit(kfp, *asked)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    [run] = [call.body for call in kfp.made("/runs")]
    assert run["runtime_config"]["parameters"] == {
        "profile": "pocket",
        "overrides": ["seed=7"],
        "gpu_pool": {"pool": "a100"},
    }
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "version-1"
    assert run["plugins_input"] == {"mlflow": {"experiment_name": "ablations"}}
    assert (run["display_name"], run["service_account"]) == ("first", "spa-vl-runner")
    lines = done.stdout.splitlines()
    assert f"KFP      {kfp.host}/#/runs/details/run-1" in lines
    assert "MLflow   https://mlflow.example/#/runs/7f" in lines
    assert [line for line in lines if line.startswith("[")] == [
        "[Align by DPO] running",
        "[Align by DPO] succeeded after 42 s",
    ]


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 75)])
def test_the_exit_code_is_the_outcome(kfp: Kfp, submit: Submit, state: str, code: int) -> None:
    kfp.looks = iter([look(state)])
    done = submit(kfp)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == f"run first {state.lower()}"


def test_without_a_version_the_pipeline_of_this_checkout_is_sent(kfp: Kfp, submit: Submit) -> None:
    done = submit(kfp, *HERE, "--image-registry", "r.example")
    assert done.returncode == 0, done.stderr
    [run] = [call.body for call in kfp.made("/runs")]
    spec = run["pipeline_spec"]
    assert spec["pipeline_spec"]["pipelineInfo"]["name"] == "spa-vl"
    assert "kubernetes" in spec["platform_spec"]["platforms"]
    images = {
        each["container"]["image"].split(":")[0]
        for each in spec["pipeline_spec"]["deploymentSpec"]["executors"].values()
    }
    assert images == {"r.example/spa-vl/pipeline", "r.example/spa-vl/trainer"}


def test_a_run_on_a_data_set_sends_the_shorter_pipeline(kfp: Kfp, submit: Submit) -> None:
    done = submit(kfp, *HERE, "--data", "s3://bucket/data")
    assert done.returncode == 0, done.stderr
    [run] = [call.body for call in kfp.made("/runs")]
    assert run["runtime_config"]["parameters"]["data"] == "s3://bucket/data"
    sent = run["pipeline_spec"]["pipeline_spec"]
    assert sent["pipelineInfo"]["name"] == "spa-vl-on-data"
    assert "comp-collect-images" not in sent["components"]
    assert "versions are of the whole DAG" in one_line(submit(kfp, "--data", "s3://bucket/data"))


@pytest.mark.parametrize("data", ["imported/", "../imported", "~/imported", "file://imported"])
def test_a_path_that_means_nothing_in_a_pod_is_not_sent(
    kfp: Kfp, submit: Submit, data: str
) -> None:
    done = submit(kfp, *HERE, "--data", data)
    assert done.returncode == 2
    assert f"no address that pods can read ({data})" in one_line(done)
    assert kfp.made("/runs") == []


def test_a_folder_of_the_work_volume_is_sent_as_it_is(kfp: Kfp, submit: Submit) -> None:
    done = submit(kfp, *HERE, "--data", "/work/imported")
    assert done.returncode == 0, done.stderr
    [run] = [call.body for call in kfp.made("/runs")]
    assert run["runtime_config"]["parameters"]["data"] == "/work/imported"


def test_a_profile_of_ones_own_is_sent_as_its_text(
    kfp: Kfp, submit: Submit, tmp_path: Path
) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: pocket\ndpo: {beta: 0.3}\n")
    done = submit(kfp, *HERE, "--profile", str(profile))
    assert done.returncode == 0, done.stderr
    [run] = [call.body for call in kfp.made("/runs")]
    form = run["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert "literals" not in form["profile"]  # KFP would refuse a text that its list lacks
    sent = run["runtime_config"]["parameters"]["profile"]
    assert yaml.safe_load(sent)["dpo"] == {"beta": 0.3}
    assert str(tmp_path) not in json.dumps(yaml.safe_load(sent)["dpo"])
    assert run["display_name"].startswith("mine-")
    refused = submit(kfp, "--profile", str(profile), "--version", "spa-vl-0.1.0")
    assert refused.returncode == 2
    assert "versions know their own profiles only" in refused.stderr


def test_a_renewed_token_goes_on_under_a_long_wait(
    kfp: Kfp, submit: Submit, tmp_path: Path
) -> None:
    token, looks = tmp_path / "token", itertools.count()
    token.write_text("first\n")
    kfp.token = "first"
    kfp.looks = iter([look("RUNNING")] * 3 + [look("SUCCEEDED")])

    def expire(call: Call) -> None:
        if call.path.endswith("/runs/run-1") and next(looks) == 1:
            kfp.token = "second"
            threading.Timer(0.4, token.write_text, ["second\n"]).start()

    kfp.before = expire
    done = submit(kfp, "--token-file", str(token))
    assert done.returncode == 0, done.stderr
    assert "the token is refused (KFP says 401)" in done.stdout
    assert len(kfp.made("/runs")) == 1
    assert {call.token for call in kfp.calls} == {"first", "second"}


def test_a_token_that_stays_refused_ends_with_one_line(kfp: Kfp, submit: Submit) -> None:
    kfp.token = "good"
    done = submit(kfp, SPAVL_KFP_TOKEN="stale-secret")
    assert done.returncode == 2
    assert "the token is refused (KFP says 401): get a new token" in one_line(done)
    assert "stale-secret" not in done.stdout + done.stderr


def test_a_token_without_rights_is_told_apart_from_a_bad_one(kfp: Kfp, submit: Submit) -> None:
    kfp.before = lambda call: 403 if call.path.endswith("/experiments") else None
    assert "the right is missing (KFP says 403): planted 403" in one_line(submit(kfp))
    kfp.before = lambda call: 401 if call.path.endswith("/experiments") else None
    assert "--audience pipelines.kubeflow.org" in one_line(submit(kfp))


def test_where_kfp_serves_several_users_a_namespace_has_to_be_named(
    kfp: Kfp, submit: Submit
) -> None:
    kfp.multi_user = True
    done = submit(kfp)
    assert done.returncode == 2
    assert one_line(done) == (
        "spavl: this KFP serves several users (--namespace): name your Profile's namespace"
    )
    assert kfp.experiments == []
    assert submit(kfp, "--namespace", "team").returncode == 0
    assert kfp.experiments[0].namespace == "team"


def environments(*namespaces: str) -> list[api.V2beta1Pipeline]:
    return [
        api.V2beta1Pipeline(pipeline_id=f"of-{name}", display_name="spa-vl", namespace=name)
        for name in namespaces
    ]


@pytest.mark.parametrize("store", ["database", "kubernetes"])
@pytest.mark.parametrize(
    ("namespaces", "found"),
    [
        (("dev", "staging", "production"), "of-staging"),
        (("dev", "", "staging"), "of-staging"),
        (("dev", "", "production"), "of-"),
    ],
)
def test_of_several_environments_ones_own_pipeline_is_taken(
    kfp: Kfp, submit: Submit, store: str, namespaces: tuple[str, ...], found: str
) -> None:
    kfp.multi_user, kfp.store, kfp.pipelines = True, store, environments(*namespaces)
    done = submit(kfp, "--namespace", "staging")
    assert done.returncode == 0, done.stderr
    [run] = [call.body for call in kfp.made("/runs")]
    assert run["pipeline_version_reference"]["pipeline_id"] == found


def test_others_pipelines_are_not_ones_own(kfp: Kfp, submit: Submit) -> None:
    kfp.multi_user, kfp.store, kfp.pipelines = True, "kubernetes", environments("dev", "production")
    done = submit(kfp, "--namespace", "staging")
    assert "no such pipeline (spa-vl in namespace staging)" in one_line(done)


def test_where_the_namespace_is_not_told_several_are_told_by_theirs(
    kfp: Kfp, submit: Submit
) -> None:
    kfp.store, kfp.pipelines = "kubernetes", environments("dev", "kubeflow")
    line = one_line(submit(kfp))
    assert line.endswith(
        "several pipelines of one name (spa-vl): give --namespace, one of dev, kubeflow"
    )
    assert submit(kfp, "--namespace", "kubeflow").returncode == 0


def test_what_the_sdk_refuses_is_one_line(kfp: Kfp, submit: Submit) -> None:
    """The SDK ends in a ValueError where two experiments have one name."""
    kfp.experiments += [api.V2beta1Experiment(experiment_id=i, display_name="spa-vl") for i in "ab"]
    done = submit(kfp)
    assert done.returncode == 2
    assert "KFP's client refuses (ValueError): Multiple experiments" in one_line(done)


def test_a_token_that_runs_out_for_good_says_how_to_go_on(kfp: Kfp, submit: Submit) -> None:
    kfp.before = lambda call: 401 if call.path.endswith("/runs/run-1") else None
    done = submit(kfp, "--longest-silence", "0.2")
    assert done.returncode == 2
    assert "spavl submit --follow run-1" in one_line(done)


@pytest.mark.parametrize("fault", [503, "lost"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_failure_while_starting_never_starts_two(
    kfp: Kfp, submit: Submit, fault: int | str, kept: bool
) -> None:
    """The server fails once, after or before it has started the run."""
    faults = iter([fault])

    def fail(call: Call) -> int | str | None:
        return next(faults, None) if (call.method, call.path[-5:]) == ("POST", "/runs") else None

    kfp.before, kfp.after = (kfp.before, fail) if kept else (fail, kfp.after)
    done = submit(kfp)
    assert done.returncode == 0, done.stderr
    assert len(kfp.runs) == 1


def test_a_server_that_always_fails_ends_with_try_again(kfp: Kfp, submit: Submit) -> None:
    kfp.before = lambda call: 500 if call.method == "POST" else None
    done = submit(kfp)
    assert done.returncode == 75
    assert one_line(done) == "spavl: KFP fails (500): planted 500"


def test_a_server_that_is_not_there_ends_with_try_again(submit: Submit) -> None:
    with serving(Kfp()) as gone:
        pass
    done = submit(gone)
    assert done.returncode == 75
    assert "no connection to KFP" in one_line(done)


def test_without_an_address_it_says_how_to_give_one(submit: Submit) -> None:
    done = submit(None, KUBECONFIG=os.devnull)
    assert done.returncode == 2
    assert one_line(done) == (
        "spavl: no address of KFP (--host): name its URL, or use --port-forward"
    )


def test_a_name_that_is_taken_is_refused_before_anything_starts(kfp: Kfp, submit: Submit) -> None:
    kfp.runs.append(api.V2beta1Run(run_id="run-0", display_name="first"))
    done = submit(kfp, "--name", "first")
    assert done.returncode == 2
    assert one_line(done) == "spavl: a run of that name exists (first): choose another --name"
    assert kfp.made("/runs") == []


def test_a_lost_connection_while_following_is_borne(kfp: Kfp, submit: Submit) -> None:
    kfp.looks = iter([look("RUNNING", train_ppo="RUNNING"), look("SUCCEEDED")])
    troubles = iter([None, "lost", 502, "lost", 503])
    kfp.before = lambda call: next(troubles, None) if call.path.endswith("/runs/run-1") else None
    done = submit(kfp)
    assert done.returncode == 0, done.stderr
    assert sum("trying again" in line for line in done.stdout.splitlines()) == 1


def test_a_connection_that_stays_lost_ends_and_says_how_to_go_on(kfp: Kfp, submit: Submit) -> None:
    kfp.before = lambda call: 502 if call.path.endswith("/runs/run-1") else None
    done = submit(kfp, "--longest-silence", "0.2")
    assert done.returncode == 75
    assert "the run goes on: spavl submit --follow run-1" in one_line(done)


def test_a_run_is_taken_up_again_by_its_id(kfp: Kfp, submit: Submit) -> None:
    kfp.looks = iter([look("RUNNING"), look("SUCCEEDED")])
    done = submit(kfp, "--follow", "run-1")
    assert done.returncode == 0, done.stderr
    assert kfp.made("/runs") == []


def test_it_need_not_be_followed(kfp: Kfp, submit: Submit) -> None:
    done = submit(kfp, "--no-wait")
    assert done.returncode == 0
    assert not [call for call in kfp.calls if call.path.endswith("/runs/run-1")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--set", "dpo.bata=1"), "did you mean dpo.beta?"),
        (("--profile", "absent.yaml"), "no such profile file"),
        (("--version", "spa-vl-9.9.9"), "no such version (spa-vl: spa-vl-9.9.9)"),
        (("--sizes", "huge"), "unknown target (huge)"),
        (("--pool", "gpu_pol={}"), "unknown pool (gpu_pol)"),
        (("--pool", "gpu_pool=a100"), "no JSON (gpu_pool=a100)"),
        (("--pool", "gpu_pool=[]"), "gpu_pool takes an object"),
        (("--token-file", "absent"), "no token (absent)"),
        (("--ca-file", "absent"), "no certificates (absent)"),
    ],
)
def test_bad_input_ends_with_one_line(
    kfp: Kfp, submit: Submit, arguments: tuple[str, ...], line: str
) -> None:
    done = submit(kfp, *arguments)
    assert done.returncode == 2
    assert line in one_line(done)
    assert kfp.made("/runs") == []


def test_kfp_is_reached_through_kubectl(kfp: Kfp, submit: Submit, tmp_path: Path) -> None:
    """A kubectl that says where it forwards to, as the real one does."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    there = kfp.host.removeprefix("http://")
    kubectl.write_text(
        f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\necho 'Forwarding from {there} -> 8888'\n"
        "exec sleep 60\n"
    )
    kubectl.chmod(0o755)
    path = f"{kubectl.parent}:{os.environ['PATH']}"
    done = submit(kfp, "--port-forward", PATH=path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().strip() == (
        "--namespace kubeflow port-forward service/ml-pipeline :8888"
    )


def test_a_kubectl_that_cannot_forward_is_told(kfp: Kfp, submit: Submit, tmp_path: Path) -> None:
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text("#!/bin/sh\necho 'error: services \"ml-pipeline\" not found' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    path = f"{kubectl.parent}:{os.environ['PATH']}"
    done = submit(kfp, "--port-forward", PATH=path)
    assert done.returncode == 2
    assert 'services "ml-pipeline" not found' in one_line(done)
