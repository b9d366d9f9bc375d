"""docker/compose.yaml: what compose would refuse, and what the worker in it would."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError

from tests.deployed import FILE, MARGIN_SECONDS, read, unknown
from worker.specs import providers

ROOT: Final = Path(__file__).parents[2]
SCHEMA: Final = Draft7Validator(json.loads(Path(__file__).with_name("compose-spec.json").read_text("utf-8")))
"""Of the Compose Specification, Apache-2.0, in one line."""
COMPOSE: Final = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
WORKERS: Final = sorted(name for name in SERVICES if name.startswith("worker"))
SECRETS: Final = "/run/secrets/"


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_it_is_what_compose_reads() -> None:
    SCHEMA.validate(COMPOSE)


def test_the_schema_refuses_what_compose_would() -> None:
    with pytest.raises(ValidationError):
        SCHEMA.validate({"services": {"x": {"imagee": "y"}}})


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_told_settings_that_it_knows_and_takes(name: str) -> None:
    told = SERVICES[name]["environment"]

    assert unknown(told) == []
    read(told)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_given_more_time_to_stop_than_it_takes(name: str) -> None:
    service = SERVICES[name]
    assert seconds(service["stop_grace_period"]) >= read(service["environment"]).grace_seconds + MARGIN_SECONDS


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_can_write_to_tmp_and_data_alone_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp", "/data"]  # noqa: S108 - the container's
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_waits_for_the_engine_that_it_is_told_of(name: str) -> None:
    service = SERVICES[name]
    engine = re.fullmatch(r"http://(\w+):8080/engine-rest", service["environment"]["ENGINE_URL"])
    assert engine
    assert service["depends_on"][engine[1]] == {"condition": "service_healthy"}
    assert service["environment"]["ENGINE_NAME"] == engine[1]


def test_engines_on_one_redis_have_names_of_their_own() -> None:
    names = {(told["ENGINE_URL"], told["ENGINE_NAME"]) for told in (SERVICES[each]["environment"] for each in WORKERS)}
    assert len(names) == len({name for _, name in names})


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_file_that_a_service_reads_is_given_to_it(name: str) -> None:
    service = SERVICES[name]
    files = {text for key, text in service.get("environment", {}).items() if key.endswith(FILE) and SECRETS in text}
    assert {path.removeprefix(SECRETS) for path in files} == set(service.get("secrets", ()))
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


@pytest.mark.parametrize("secret", COMPOSE["secrets"].values(), ids=list(COMPOSE["secrets"]))
def test_no_secret_can_be_committed(secret: dict[str, str]) -> None:
    ignored = subprocess.run(["git", "check-ignore", "--quiet", f"docker/{secret['file']}"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_on_this_machine_alone_at_a_fixed_version(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "build" in service or re.search(r":[\w-]*\d+\.?\d*[\w.-]*$", service["image"])


def test_the_local_model_bears_the_name_that_the_samples_ask_for() -> None:
    samples = (ROOT / "bpmn" / "assistants").glob("*.md")
    [name] = {line for spec in samples for line in re.findall(r"^model: (.+)$", spec.read_text("utf-8"), re.MULTILINE)}
    assert SERVICES["model"]["entrypoint"][-1].endswith(f" {name}")


def test_the_file_of_the_local_provider_is_one_that_the_worker_reads(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(COMPOSE["configs"]["local-providers"]["content"])

    [(name, provider)] = providers.load(file, {}).items()
    assert (name, provider.api) == ("openai", "chat")
    window = SERVICES["ollama"]["environment"]["OLLAMA_CONTEXT_LENGTH"]
    assert provider.context_tokens == int(window)
