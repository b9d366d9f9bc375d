"""The image with all extras: what each of them is for, as user 10001 on a root that it cannot write to."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests import papers
from tests.flow.otlp import collector
from tests.flow.test_decision_record import stage
from tests.image.build import EVERYTHING, EXTRAS
from tests.image.container import Container, pinned
from tests.models import ServiceTask, bpmn
from tests.rest import EngineRest
from tests.unit.decisions.examples import parts, scores
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.model import ModelServer
from worker.demo.processes import running
from worker.demo.servers import Valkey

TOPIC = "image_everything"
BEGINNINGS = {"pdf": b"%PDF", "docx": b"PK", "xlsx": b"PK"}


@pytest.mark.timeout(600)
async def test_with_all_extras_it_reads_a_pdf_makes_a_record_writes_that_for_an_office_and_tells_a_collector(
    engine: Engine, valkey: Valkey, engine_rest: EngineRest
) -> None:
    given = {"frame": parts()["frame"], "scores": scores()}
    given |= {name: parts()[name] for name in ("objectives", "alternatives", "weights")}
    reading = {"service.type": "assistant", "service.name": "analyst", "data.input": "offer", "data.output": "summary"}
    compute = stage(TOPIC, "compute", record_given=", ".join(f"{name}=agreed_{name}" for name in given))
    model = bpmn(ServiceTask("read", TOPIC, documentation="Sum it up.", properties=reading), compute)
    await engine_rest.deploy(model)
    offer = {"filename": "offer.pdf", "mimeType": "application/pdf"}
    variables: dict[str, Any] = {f"agreed_{name}": value for name, value in given.items()}
    variables["offer"] = {
        "type": "File",
        "value": b64encode(papers.pdf("Forty umbrellas at once")).decode(),
        "valueInfo": offer,
    }
    async with collector() as collected, ModelServer() as provider:
        told = {
            "ENGINE_URL": engine.base_url,
            "REDIS_URL": valkey.url(2),
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "scripted",
            "TOPICS": TOPIC,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        async with running(Container(told, EVERYTHING)) as container:
            instance = await engine_rest.start(model, variables)
            await engine_rest.wait_for_end(instance, 120)
            assert "Forty umbrellas at once" in json.dumps(
                [each["body"] for each in provider.requests("responses.create")]
            )
            assert json.loads((await engine_rest.variables(instance))["decision"])["leader"] == "Y"
            await wait_until(lambda: bool(collected.named(f"process {TOPIC}")), 30, "the spans of a task")
            for kind, beginning in BEGINNINGS.items():
                assert (await asyncio.to_thread(exported, container, instance, kind))[: len(beginning)] == beginning
            held = await asyncio.to_thread(container.packages)

    assert held - {"assistant-worker"} <= pinned("run", *EXTRAS)
    assert {"numpy", "openpyxl", "opentelemetry-sdk", "pyjwt", "typst"} <= held


def exported(container: Container, instance: str, kind: str) -> bytes:
    """A record as a file, which a command in the container writes."""
    file = Path("/tmp") / f"record.{kind}"  # noqa: S108 - the container's
    done = container.runs("assistant-worker", "decisions", "export", instance, "--format", kind, "--output", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = container.runs("python", "-c", f"print(open({str(file)!r}, 'rb').read().hex())")
    return bytes.fromhex(shown.stdout)
