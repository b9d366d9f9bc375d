"""Single files, as those look at them who read them."""

import json
import re

from tests.deploy.install import HOME, ROOT, program, run


def test_the_bill_of_materials_names_every_package_with_its_hashes() -> None:
    pins = ROOT / "docker" / "requirements" / "run.txt"
    bill = HOME / "assistant-worker.cdx.json"
    run(program("cyclonedx-py"), "requirements", "--output-reproducible", "--output-file", str(bill), str(pins))

    components = {each["name"]: each for each in json.loads(bill.read_text("utf-8"))["components"]}
    assert set(components) == set(re.findall(r"^([a-z0-9-]+)==", pins.read_text("ascii"), re.MULTILINE))
    assert all(each["version"] and each["externalReferences"] for each in components.values())


def test_hadolint_finds_nothing_wrong() -> None:
    assert run(program("hadolint"), "docker/Dockerfile") == ""
