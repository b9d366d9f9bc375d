"""What image and cluster tell a worker is what it knows, and they wait for it as long as it takes."""

import json
import re
import subprocess
import tomllib
from functools import reduce
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError
from pydantic import SecretStr

from tests.deployed import FILE, MARGIN_SECONDS, read, unknown
from tests.image.build import EXTRAS
from worker.settings import Settings
from worker.specs import assistants
from worker.telemetry.metrics import ASKS_WAITING

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
HELM: Final = ROOT / "deploy" / "helm"
EXAMPLES: Final = sorted((HELM / "examples").glob("*.yaml"))
CHART_SCHEMA: Final = json.loads((HELM / "values.schema.json").read_text("utf-8"))
INSTALL: Final = (ROOT / "docs" / "install.md").read_text("utf-8")
DOCKERFILE: Final = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
SECRETS: Final = {
    name.upper()
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
}


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def pairs(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def overlaid() -> dict[str, str]:
    """The settings of the base, and what the example's overlay makes of them."""
    overlay = loaded(KUBERNETES / "overlays" / "example" / "kustomization.yaml")
    [more] = [each["literals"] for each in overlay["configMapGenerator"] if each.get("behavior") == "merge"]
    return pairs((KUBERNETES / "base" / "settings.env").read_text("utf-8").splitlines()) | pairs(more)


def scaled() -> Any:
    """What the component scales by, with what the example's overlay makes of it."""
    found = loaded(KUBERNETES / "components" / "keda" / "scaled-object.yaml")
    [patch] = loaded(KUBERNETES / "overlays" / "example" / "kustomization.yaml")["patches"]
    assert patch["target"] == {"kind": found["kind"], "name": found["metadata"]["name"]}
    for each in yaml.safe_load(patch["patch"]):
        *way, last = [int(step) if step.isdigit() else step for step in each["path"].split("/")[1:]]
        at = reduce(lambda node, step: node[step], way, found)
        assert (last in at) == (each["op"] == "replace"), each
        at[last] = each["value"]
    return found["spec"]


def laid(below: Any, above: Any) -> Any:
    """Values over others, as Helm lays them."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: laid(below.get(key), value) for key, value in above.items()}
    return above


def charted(example: Path) -> Any:
    """The chart's values with an example over them."""
    return laid(loaded(HELM / "values.yaml"), loaded(example))


def chart_settings(example: Path) -> dict[str, str]:
    values = charted(example)
    files = {f"{name}{FILE}": "/run/secrets/x" for name in values["secret"]["settings"]}
    return {name: str(value) for name, value in values["settings"].items()} | files


def test_the_image_sets_what_the_worker_knows() -> None:
    [block] = re.findall(r"^ENV (.+?[^\\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    told = pairs(re.sub(r"\\\n", " ", block).split())

    assert unknown(set(told) - {"PATH", "HOME", "PYTHONUNBUFFERED"}) == []
    assert not [name for name in told if name in SECRETS], "what is set cannot be told by a file"


def test_the_guide_s_image_with_everything_has_each_extra_but_the_demo_s_as_the_one_that_is_run() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = sorted(project["optional-dependencies"].keys() - {"demo"})

    assert re.findall(r'--build-arg EXTRAS="(.+?)"', INSTALL) == [" ".join(extras)]
    assert list(EXTRAS) == extras
    assert all((ROOT / "docker" / "requirements" / f"{each}.txt").exists() for each in extras)


def test_the_cluster_sets_what_the_worker_knows_and_takes() -> None:
    assert unknown(overlaid()) == []
    read(overlaid())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_chart_sets_what_the_worker_knows_and_takes(example: Path) -> None:
    assert unknown(chart_settings(example)) == []
    read(chart_settings(example))


def test_a_pod_is_given_more_time_to_stop_than_its_worker_takes() -> None:
    pod = loaded(KUBERNETES / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= read(overlaid()).grace_seconds + MARGIN_SECONDS


def test_the_guides_say_how_much_more_time_that_is() -> None:
    scale = (ROOT / "docs" / "scale.md").read_text("utf-8")
    for page in (INSTALL, scale):
        assert re.findall(r"(\d+) s\s+more", page) == [str(MARGIN_SECONDS)]


def test_secrets_are_told_as_files_alone() -> None:
    for told in (overlaid(), *map(chart_settings, EXAMPLES)):
        assert not SECRETS & told.keys()
        assert {name.removesuffix(FILE) for name in told if name.endswith(FILE)} <= SECRETS


def test_the_scaler_reckons_with_as_many_tasks_as_a_worker_takes() -> None:
    spec = scaled()
    trigger, asks = spec["triggers"]
    told = overlaid()

    assert asks["metadata"]["targetValue"] == str(read(told).chat_slots)
    assert trigger["metadata"]["targetValue"] == told["MAX_TASKS"]
    assert trigger["metadata"]["url"].startswith(
        f"{told['ENGINE_URL']}/external-task/count?topicName={told['TOPICS']}&"
    )
    assert spec["minReplicaCount"] == 1


def test_the_scaler_reads_what_persons_have_asked_from_the_workers_of_its_namespace() -> None:
    asks = scaled()["triggers"][1]["metadata"]
    service = loaded(KUBERNETES / "base" / "service.yaml")
    [port] = [each["port"] for each in service["spec"]["ports"] if each["name"] == "health"]
    namespace = loaded(KUBERNETES / "overlays" / "example" / "kustomization.yaml")["namespace"]

    assert asks["url"] == f"http://{service['metadata']['name']}.{namespace}.svc:{port}/metrics"
    assert asks["format"] == "prometheus", "what KEDA reads is what `/metrics` is"
    assert [asks["valueLocation"]] == [each.name for each in ASKS_WAITING.collect()]


def test_the_scaler_asks_an_engine_that_wants_a_password_with_what_the_secret_has() -> None:
    trigger = scaled()["triggers"][0]
    authentication = loaded(KUBERNETES / "overlays" / "example" / "trigger-authentication.yaml")
    [command] = re.findall(r"kubectl create secret generic .+?```", INSTALL, re.DOTALL)
    keys = {each["key"]: each["parameter"] for each in authentication["spec"]["secretTargetRef"]}

    assert "ENGINE_USER" in overlaid()
    assert trigger["metadata"]["authMode"] == "basic"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert sorted(keys.values()) == ["password", "username"]
    assert all(re.search(rf"--from-(file|literal)={key}\b", command) for key in keys)
    assert f"--from-literal=engine_user={overlaid()['ENGINE_USER']}" in command


def test_the_rules_that_the_guide_gives_to_prometheus_operator_are_all_of_them() -> None:
    [command] = re.findall(r"^(\{ printf .+?) \| kubectl apply", INSTALL, re.DOTALL | re.MULTILINE)
    made = subprocess.run(["bash", "-euc", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    rule = yaml.safe_load(made)
    assert rule.pop("spec") == loaded(ROOT / "deploy" / "monitoring" / "alerts.yaml")
    assert rule == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "assistant-worker"},
    }


def test_engines_in_several_namespaces_have_a_job_each() -> None:
    [endpoint] = loaded(KUBERNETES / "components" / "prometheus" / "service-monitor.yaml")["spec"]["endpoints"]
    [job] = endpoint["relabelings"]

    assert (job["targetLabel"], job["separator"]) == ("job", "/")
    assert job["sourceLabels"] == ["__meta_kubernetes_namespace", "__meta_kubernetes_service_name"]
    chart = (HELM / "templates" / "service.yaml").read_text("utf-8")
    assert yaml.safe_load(chart[chart.index("      relabelings:") : chart.rindex("{{- end }}")])["relabelings"] == [job]


def test_the_example_of_an_assistant_is_one() -> None:
    [spec] = assistants.load(KUBERNETES / "overlays" / "example" / "assistants").assistants
    assert spec.name == "analyst"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_charts_schema_takes_its_examples(example: Path) -> None:
    Draft7Validator(CHART_SCHEMA).validate(charted(example))


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 2},
        {"settings": {"OPENAI_API_KEY": "x"}},
        {"settings": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=x"}},
        {"settings": {"HEALTH_PORT": 9090}},
        {"settings": {"API_PORT": 9091}},
        {"autoscaling": {"enabled": True, "topics": []}},
    ],
    ids=["misspelt", "secret", "secret header", "port of probes", "port of the page", "no topics"],
)
def test_the_charts_schema_refuses_what_would_not_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Draft7Validator(CHART_SCHEMA).validate(laid(charted(EXAMPLES[0]), wrong))


def test_the_charts_schema_knows_a_secret_by_its_name() -> None:
    secret = CHART_SCHEMA["properties"]["settings"]["propertyNames"]["allOf"][0]["not"]["pattern"]
    assert {name for name in map(str.upper, Settings.model_fields) if re.search(secret, name)} == SECRETS


def test_all_name_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = loaded(HELM / "Chart.yaml")
    overlay = loaded(KUBERNETES / "overlays" / "example" / "kustomization.yaml")

    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE) == [version]
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert [image["newTag"] for image in overlay["images"]] == [version]
