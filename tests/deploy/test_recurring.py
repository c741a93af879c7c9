"""The recurring run is kept as declared: equal stays, different is made anew, off is removed."""

from collections.abc import Iterator
from pathlib import Path

import kfp_server_api as api
import pytest

from pipelines.cluster import Access, connect
from pipelines.recurring import Declaration, keep, main, read_declaration
from spavl.errors import InputError
from tests.deploy.kfp_server import Kfp, serving

WEEKLY = Declaration(
    name="weekly", enabled=True, cron="0 0 3 * * 1", parameters={"profile": "pocket"}
)
VERSION = "spa-vl-0.1.0"


@pytest.fixture
def kfp() -> Iterator[Kfp]:
    with serving(Kfp()) as running:
        yield running


def kept(kfp: Kfp, declared: Declaration, version: str = VERSION) -> str:
    return keep(connect(Access(kfp.host)), declared, version, "spa-vl")


def test_it_is_created_as_declared_and_doing_it_again_changes_nothing(kfp: Kfp) -> None:
    assert kept(kfp, WEEKLY) == "created"
    [job] = kfp.recurring
    assert job.trigger.cron_schedule.cron == "0 0 3 * * 1"
    assert job.runtime_config.parameters == {"profile": "pocket"}
    assert job.pipeline_version_reference.pipeline_version_id == "version-1"
    assert (job.service_account, job.no_catchup, job.status) == ("spa-vl-runner", True, "ENABLED")
    before = len(kfp.made("/recurringruns"))
    assert kept(kfp, WEEKLY) == "unchanged"
    assert len(kfp.made("/recurringruns")) == before


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "0 0 4 * * 1"},
        {"parameters": {"profile": "pocket", "gpu_pool": {"pool": "a100"}}},
        {"service_account": "other"},
    ],
)
def test_what_differs_is_made_anew(kfp: Kfp, change: dict[str, object]) -> None:
    kept(kfp, WEEKLY)
    assert kept(kfp, WEEKLY.model_copy(update=change)) == "replaced"
    assert len(kfp.recurring) == 1


def test_a_promotion_moves_it_to_the_new_version(kfp: Kfp) -> None:
    kept(kfp, WEEKLY)
    kfp.versions["spa-vl-0.2.0"] = "version-2"
    assert kept(kfp, WEEKLY, "spa-vl-0.2.0") == "replaced"
    [job] = kfp.recurring
    assert job.pipeline_version_reference.pipeline_version_id == "version-2"


def test_one_that_was_switched_off_by_hand_is_switched_on(kfp: Kfp) -> None:
    kept(kfp, WEEKLY)
    kfp.recurring[0].status = "DISABLED"
    assert kept(kfp, WEEKLY) == "replaced"
    assert kfp.recurring[0].status == "ENABLED"


def test_declared_off_it_is_removed_and_stays_so(kfp: Kfp) -> None:
    kept(kfp, WEEKLY)
    off = WEEKLY.model_copy(update={"enabled": False})
    assert kept(kfp, off) == "removed"
    assert kept(kfp, off) == "absent"
    assert kfp.recurring == []


def test_one_too_many_is_mended(kfp: Kfp) -> None:
    kept(kfp, WEEKLY)
    kfp.recurring.append(kfp.recurring[0])
    assert kept(kfp, WEEKLY) == "replaced"
    assert len(kfp.recurring) == 1


def test_a_version_that_is_not_there_is_named(kfp: Kfp) -> None:
    with pytest.raises(InputError, match=r"no such version \(spa-vl: spa-vl-9\.9\.9\)"):
        kept(kfp, WEEKLY, "spa-vl-9.9.9")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("cron: '0 3 * * 1'", "cron"),
        ("schedule: weekly", "schedule"),
        ("enabled: maybe", "enabled"),
    ],
)
def test_a_mistake_in_the_declaration_is_named(tmp_path: Path, line: str, key: str) -> None:
    fields = {"name": "name: weekly", "enabled": "enabled: true", "cron": "cron: '0 0 3 * * 1'"}
    path = tmp_path / "recurring-run.yaml"
    path.write_text("\n".join((fields | {key: line}).values()))
    with pytest.raises(InputError, match=rf"recurring-run\.yaml: {key}"):
        read_declaration(path)


@pytest.mark.parametrize(("status", "code"), [(None, 0), (403, 2), (500, 75)])
def test_the_job_ends_with_the_code_that_says_why(
    kfp: Kfp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int | None,
    code: int,
) -> None:
    path = tmp_path / "recurring-run.yaml"
    path.write_text("name: weekly\nenabled: true\ncron: '0 0 3 * * 1'\n")
    kfp.before = lambda call: status
    monkeypatch.setattr("sys.argv", ["recurring", str(path)])
    for name, value in {"KFP_HOST": kfp.host, "PIPELINE_VERSION": VERSION}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KFP_NAMESPACE", raising=False)
    if code == 0:
        main()
        assert "recurring run weekly: created" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_in_a_pod_the_accounts_token_is_sent_to_the_host_that_is_named(
    kfp: Kfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the job after a sync has it: an address, and a token made for KFP alone."""
    token = tmp_path / "token"
    token.write_text("of-the-account\n")
    monkeypatch.setattr("pipelines.cluster.SERVICE_ACCOUNT_TOKEN", token)
    kfp.token, kfp.multi_user = "of-the-account", True
    kfp.pipelines[0].namespace = "spa-vl"
    assert kept(kfp, WEEKLY) == "created"
    assert kfp.experiments[0].namespace == "spa-vl"


def test_of_several_environments_the_jobs_own_is_kept(kfp: Kfp) -> None:
    kfp.multi_user = True
    kfp.pipelines = [
        api.V2beta1Pipeline(pipeline_id=f"of-{name}", display_name="spa-vl", namespace=name)
        for name in ("other", "spa-vl")
    ]
    kept(kfp, WEEKLY)
    assert kfp.recurring[0].pipeline_version_reference.pipeline_id == "of-spa-vl"
