"""What KFP hands to the report's task becomes the report's inputs."""

import inspect
from dataclasses import fields
from types import SimpleNamespace

from components.reporting.component import write_report
from components.reporting.inputs import ADDRESSES, ARTIFACTS, ReportInputs


def test_every_input_of_the_task_reaches_the_report():
    names = list(inspect.signature(write_report.python_func).parameters)
    given = {name: SimpleNamespace(path=f"/{name}") for name in names}
    given |= {name: f"s3://{name}" for name in names if name.endswith("_uri")}
    given |= {"imported": {"source": "s"}, "responses": [SimpleNamespace(path="/r")]}
    inputs = ReportInputs.of_task(given)
    assert inputs.answers == ("/base_answers", "/dpo_answers", "/ppo_answers")
    assert (inputs.images, inputs.settings, inputs.responses) == (
        "s3://images_uri", "/snapshot", ("/r",),
    )  # fmt: skip
    assert all(getattr(inputs, field.name) for field in fields(ReportInputs))


def test_a_run_that_was_given_its_data_set_has_no_inputs_of_making_it():
    names = list(inspect.signature(write_report.python_func).parameters)
    given = {name: SimpleNamespace(path=f"/{name}") for name in names}
    absent = dict.fromkeys(("questions", "responses", "verdicts", "pairs", "preferences"))
    inputs = ReportInputs.of_task({**given, **absent, "imported": {}})
    assert (inputs.questions, inputs.responses, inputs.preferences) == (None, (), None)


def test_the_task_writes_the_report(make_run, tmp_path):
    """As KFP calls it: by name, with places for what it makes."""
    made = make_run()
    paths = {"snapshot": made.settings, **vars(made)}
    paths |= dict(zip(("base_answers", "dpo_answers", "ppo_answers"), made.answers, strict=True))
    outputs = {name: SimpleNamespace(path=str(tmp_path / name)) for name in ("report", "summary")}
    told = {}
    write_report.python_func(
        settings={},
        **{f"{name}_uri": paths[name] for name in ADDRESSES},
        **{name: SimpleNamespace(path=paths[name]) for name in ("snapshot", *ARTIFACTS)},
        **{name: SimpleNamespace(path=paths[name]) for name in paths if name.endswith("_answers")},
        responses=[SimpleNamespace(path=path) for path in made.responses],
        **outputs,
        metrics=SimpleNamespace(log_metric=told.__setitem__),
    )
    assert "PPO is promoted" in (tmp_path / "report").read_text()
    assert told["ppo.harm_eval_usr"] == 0.004
