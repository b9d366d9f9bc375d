"""What overlay and chart make, held against the schemas of all kinds and against each other."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.deploy.install import BIN, ROOT, program, run, schema
from tests.deployed import MARGIN_SECONDS

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
HELM: Final = ROOT / "deploy" / "helm"
EXAMPLES: Final = sorted((HELM / "examples").glob("*.yaml"), key=lambda path: path.stem)
OVERLAY: Final = "overlay"
RENDERED: Final = (OVERLAY, *(example.stem for example in EXAMPLES))
OWN_KINDS: Final = {"ScaledObject": 2, "ServiceMonitor": 2, "TriggerAuthentication": 1}
"""Kinds of operators, and in how many of what is rendered each is: in the overlay, and in one example or none."""


@cache
def overlaid() -> str:
    return run(program("kustomize"), "build", str(KUBERNETES / "overlays" / "example"))


@cache
def charted(*options: str) -> str:
    return run(program("helm"), "template", "assistant-worker", str(HELM), "--namespace", "assistants", *options)


def rendered(name: str) -> str:
    """What the overlay makes, or the chart with an example's values."""
    if name == OVERLAY:
        return overlaid()
    return charted("--values", str(HELM / "examples" / f"{name}.yaml"))


def objects(text: str) -> dict[str, Any]:
    """By kind; the settings' ConfigMap comes first of its kind."""
    found: dict[str, Any] = {}
    for each in yaml.safe_load_all(text):
        found.setdefault(each["kind"], each)
    return found


def pod(text: str) -> Any:
    return objects(text)["Deployment"]["spec"]["template"]


def check_own_kind(kind: str, thing: Any) -> None:
    definition = yaml.safe_load(schema(kind).read_text("utf-8"))
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == thing["apiVersion"].split("/")[1]]
    Draft202012Validator(closed(version["schema"]["openAPIV3Schema"])).validate(thing)


def closed(node: Any) -> Any:
    """The schema, with what it does not name refused, as `kubectl apply --validate=strict` does."""
    if not isinstance(node, dict):
        return node
    node = {key: closed(value) for key, value in node.items()}
    if "properties" in node and isinstance(node["properties"], dict) and node.get("type") == "object":
        node = {"additionalProperties": False, **node}
    return node


@pytest.mark.parametrize("name", RENDERED)
def test_kubernetes_takes_every_object(name: str, tmp_path: Path) -> None:
    text = rendered(name)
    ours = [each for each in yaml.safe_load_all(text) if each["kind"] not in OWN_KINDS]
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all(ours))

    assert "passed for resource deployment/" in run(program("kubernetes-validate"), "--strict", str(file))


def test_a_misspelt_field_would_be_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(overlaid().replace("terminationGracePeriodSeconds", "terminationGracePeriod"))
    run(program("kubernetes-validate"), "--strict", str(wrong), fails=True)

    scaled = objects(overlaid())["ScaledObject"]
    scaled["spec"]["maxReplicas"] = 5
    with pytest.raises(ValidationError):
        check_own_kind("ScaledObject", scaled)


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_operators_take_the_objects_of_their_kinds(kind: str) -> None:
    of_kind = [found[kind] for name in RENDERED if kind in (found := objects(rendered(name)))]

    assert len(of_kind) == OWN_KINDS[kind]
    for thing in of_kind:
        check_own_kind(kind, thing)


def test_prometheus_operator_takes_the_alert_rules() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text("utf-8"))
    made = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "x"}}
    check_own_kind("PrometheusRule", made | {"spec": rules})


def test_the_overlays_scaler_asks_the_engine_as_somebody() -> None:
    trigger, _ = objects(overlaid())["ScaledObject"]["spec"]["triggers"]
    assert trigger["authenticationRef"]["name"] == objects(overlaid())["TriggerAuthentication"]["metadata"]["name"]


def test_chart_and_overlay_make_the_same_pods() -> None:
    chart, overlay = pod(rendered("small"))["spec"], pod(overlaid())["spec"]
    for spec in (chart, overlay):
        for container in spec["containers"]:
            container["envFrom"] = container["envFrom"][0]["configMapRef"].keys()
        spec["topologySpreadConstraints"][0]["labelSelector"] = ...
        [assistants] = [each for each in spec["volumes"] if each["name"] == "assistants"]
        assistants["configMap"] = assistants["configMap"].keys()

    assert chart == overlay


@pytest.mark.parametrize("name", RENDERED)
def test_what_selects_pods_selects_the_workers_alone(name: str) -> None:
    text = rendered(name)
    found = objects(text)
    labels = pod(text)["metadata"]["labels"].items()
    selectors = {
        "Service": found["Service"]["spec"]["selector"],
        "Deployment": found["Deployment"]["spec"]["selector"]["matchLabels"],
        "PodDisruptionBudget": found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        assert selector, (name, kind)
        assert selector.items() <= labels, (name, kind)


@pytest.mark.parametrize("name", RENDERED)
def test_a_pod_is_given_the_settings_and_more_time_to_stop_than_they_say(name: str) -> None:
    text = rendered(name)
    settings = objects(text)["ConfigMap"]
    spec = pod(text)["spec"]

    assert spec["containers"][0]["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}], name
    assert spec["terminationGracePeriodSeconds"] >= int(settings["data"]["GRACE_SECONDS"]) + MARGIN_SECONDS


def test_the_number_of_pods_is_the_scalers_where_there_is_one() -> None:
    for name in RENDERED:
        found = objects(rendered(name))
        assert ("replicas" in found["Deployment"]["spec"]) == ("ScaledObject" not in found), name


def test_tasks_of_several_topics_are_added_up_and_held_against_what_persons_ask() -> None:
    spec = objects(rendered("large"))["ScaledObject"]["spec"]

    assert [trigger["name"] for trigger in spec["triggers"]] == ["topic0", "topic1", "asks"]
    assert spec["advanced"]["scalingModifiers"]["formula"] == "max(topic0 + topic1, asks * 40 / 4)"


@pytest.mark.parametrize("name", [OVERLAY, "large"])
def test_the_scaler_may_read_the_workers_numbers(name: str) -> None:
    found = objects(rendered(name))
    asks = found["ScaledObject"]["spec"]["triggers"][-1]["metadata"]
    numbers = next(each for each in found["NetworkPolicy"]["spec"]["ingress"] if each["ports"] == [{"port": "health"}])
    service = found["Service"]["metadata"]

    assert asks["url"] == f"http://{service['name']}.{service.get('namespace', 'assistants')}.svc:8090/metrics"
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}} in numbers["from"]


def test_without_a_scaler_only_prometheus_reads_numbers() -> None:
    [numbers, _] = objects(rendered("small"))["NetworkPolicy"]["spec"]["ingress"]
    assert len(numbers["from"]) == 1


def test_numbers_reach_the_worker_as_they_are_written(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("settings: {SEED_TOKENS: 10000000, RETRIES: 3}")
    settings = objects(charted("--values", str(values)))["ConfigMap"]["data"]

    assert (settings["SEED_TOKENS"], settings["RETRIES"]) == ("10000000", "3")


def test_a_file_of_an_assistant_reaches_the_pods_as_it_is() -> None:
    spec = ROOT / "bpmn" / "assistants" / "analyst.md"
    text = charted("--set-file", rf"assistants.analyst\.md={spec}")
    maps = [each for each in yaml.safe_load_all(text) if each["kind"] == "ConfigMap"]

    assert maps[1]["data"] == {"analyst.md": spec.read_text("utf-8")}
    [volume] = [each for each in pod(text)["spec"]["volumes"] if each["name"] == "assistants"]
    assert volume["configMap"]["name"] == maps[1]["metadata"]["name"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_helm_finds_nothing_wrong(example: Path) -> None:
    assert "0 chart(s) failed" in run(program("helm"), "lint", "--strict", str(HELM), "--values", str(example))


def test_helm_refuses_a_misspelt_value() -> None:
    assert "replica" in run(program("helm"), "template", str(HELM), "--set", "replica=3", fails=True)


def test_the_guide_shows_how_its_examples_differ() -> None:
    guide = (HELM / "README.md").read_text("utf-8")
    [command] = re.findall(r"```sh\n(shown\(\).+?)```", guide, re.DOTALL)
    [shown] = re.findall(r"```diff\n(.+?)```", guide, re.DOTALL)
    path = f"{BIN}:{os.environ['PATH']}"

    assert run("env", f"PATH={path}", "bash", "-c", command, fails=True) == shown
