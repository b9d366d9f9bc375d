"""Single files, as those look at them who read them."""

import json
import re
from pathlib import Path
from typing import Final

from tests.deploy.install import HOME, ROOT, program, run

UNIT: Final = ROOT / "deploy" / "systemd" / "assistant-worker.service"


def test_the_bill_of_materials_names_every_package_with_its_hashes() -> None:
    pins = ROOT / "docker" / "requirements" / "oidc.txt"
    bill = HOME / "assistant-worker.cdx.json"
    run(program("cyclonedx-py"), "requirements", "--output-reproducible", "--output-file", str(bill), str(pins))

    components = {each["name"]: each for each in json.loads(bill.read_text("utf-8"))["components"]}
    assert set(components) == set(re.findall(r"^([a-z0-9-]+)==", pins.read_text("ascii"), re.MULTILINE))
    assert all(each["version"] and each["externalReferences"] for each in components.values())


def test_hadolint_finds_nothing_wrong() -> None:
    assert run(program("hadolint"), "docker/Dockerfile") == ""


def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    worker = tmp_path / "assistant-worker"
    worker.write_text("#!/bin/sh\n")
    worker.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/assistant-worker/bin/assistant-worker", str(worker)))

    assert run("systemd-analyze", "verify", "--man=no", str(unit)) == ""
    [exposure] = re.findall(
        r"exposure level for \S+: (\d+\.\d)", run("systemd-analyze", "security", "--offline=true", str(UNIT))
    )
    assert float(exposure) < 1.5
