"""What `docs/providers.md` shows can be used as it stands."""

import re
from pathlib import Path

import pytest

from worker.specs import providers

GUIDE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n\n```yaml\n(.*?)```", GUIDE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("server", RECIPES)
def test_every_recipe_is_a_file_of_providers(server: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sk-test")
    file = tmp_path / "providers.yaml"
    file.write_text(re.sub(r"file:/run/secrets/\w+", f"file:{secret}", RECIPES[server]))
    keys = dict.fromkeys(re.findall(r"env:(\w+)", RECIPES[server]), "sk-test")

    assert len(providers.load(file, keys)) == 1


def test_every_server_says_whether_it_was_run() -> None:
    parts = dict(part.split("\n", 1) for part in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:])

    assert parts.keys() - RECIPES.keys() == {"Fallback", "Decision questions", "What is told of a long history"}
    assert len(RECIPES) == 9
    assert all(len(re.findall(r"\*\*(?:Run here: |Not run here)", parts[server])) == 1 for server in RECIPES)


def test_every_field_is_explained() -> None:
    said = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", GUIDE, re.MULTILINE))))

    assert said == {field.alias or name for name, field in providers.ProviderFields.model_fields.items()}
