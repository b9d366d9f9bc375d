"""The rules that look at one model alone, as a plugin for Camunda Modeler and bpmnlint.

The tables that the worker goes by are written into it; what looks at a model there is `client.js`.
"""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

from worker.decisions import schemas
from worker.domain import deployed
from worker.engine.definitions import EXTENSIONS
from worker.errors import Permanent
from worker.modelling import forms, properties
from worker.operate.commands import tables
from worker.operate.models import tasks
from worker.operate.models.rules import BEYOND, PARTLY, Rule
from worker.runtime.version import VERSION

NAME: Final = "bpmnlint-plugin-assistant-worker"
"""The plugin's folder. By this name bpmnlint looks for it among the packages of npm."""
_TABLE: Final = "/* TABLE */ {}"
_INDEX: Final = """\
'use strict';

// For Camunda Modeler, which reads name and script, and for bpmnlint, which reads configs, and each rule in a file.
module.exports = { name: 'assistant-worker', script: './client.js', configs: require('./client.js').configs };
"""
_RULE: Final = "'use strict';\n\nmodule.exports = require('../client.js').rules['{}'];\n"


def write(folder: Path) -> int:
    """Write the plugin into a folder of its own there. Returns the exit code; raises Permanent."""
    place = folder / NAME
    try:
        for name, text in files().items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, "utf-8", newline="\n")
    except OSError as exc:
        raise Permanent(f"{exc.filename or place} cannot be written: {exc.strerror}") from exc
    tables.say(f"Written to {place}: see its README.md.")
    return 0


def files() -> dict[str, str]:
    """Return the plugin's files by name."""
    source = resources.files(__name__).joinpath("client.js").read_text("utf-8")
    return {
        "package.json": json.dumps({"name": NAME, "version": VERSION, "private": True, "main": "index.js"}, indent=2)
        + "\n",
        "index.js": _INDEX,
        "client.js": source.replace(_TABLE, json.dumps(table(), indent=2, ensure_ascii=False)),
        **{f"rules/{each.id}.js": _RULE.format(each.id) for each in Rule if each not in BEYOND},
        "README.md": _guide(),
    }


def table() -> dict[str, Any]:
    """Return all that the rules go by, as JSON has it."""
    return {
        "rules": {each.id: {"level": each.level, "about": each.about} for each in Rule if each not in BEYOND},
        "names": [each.name for each in properties.PROPERTIES],
        "outcomes": [*properties.BAD_OUTCOMES],
        "forms": {kind: dict(_forms(kind)) for kind in forms.CLASHES},
        "clashes": {
            kind: [{"name": each.name, "said": each.said, "where": each.where} for each in several]
            for kind, several in forms.CLASHES.items()
        },
        "parts": {stage: schemas.REQUIRED[status] for stage, status in properties.STATUS.items()},
        "words": {"kinds": [*forms.CLASHES], "deployment": deployed.DEPLOYMENT, "deployed": deployed.SAID.pattern},
        "duration": forms.DURATION,
        "longest": properties.LONGEST_NAME,
        "near": tasks.NEAR,
        "spaces": [each.strip("{}") for each in EXTENSIONS],
    }


def _forms(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the forms of the properties that tasks of a kind read."""
    for name, form in forms.FORMS.items():
        if name != "service.type" and forms.is_read(name, kind):
            of_letters = form.pattern.replace(r"[^\W\d]", r"[\p{L}\p{Nl}\p{No}_]").replace(r"\w", r"[\p{L}\p{N}_]")
            yield (
                name,
                {
                    "pattern": of_letters,
                    "allowed": form.allowed,
                    "most": form.most,
                    "entries": form.entries,
                },
            )


def in_modeler(rule: Rule) -> str:
    """Say whether the plugin goes by a rule."""
    if rule in BEYOND:
        return f"no: it {BEYOND[rule]}"
    return f"in part: {PARTLY[rule]}" if rule in PARTLY else "yes"


def _guide() -> str:
    rows = "\n".join(f"| `{each.id}` | {each.level} | {each.about} | {in_modeler(each)} |" for each in Rule)
    return f"""\
# What assistant-worker {VERSION} says against models, in Camunda Modeler and bpmnlint

In Camunda Modeler 5.4 or newer: put this folder into `resources/plugins` where Modeler keeps its data, and start it
anew.

With bpmnlint: put this folder into `node_modules`, and this into `.bpmnlintrc`:

```json
{{"extends": "plugin:assistant-worker/recommended"}}
```

| rule | level | what | here |
|---|---|---|---|
{rows}

`assistant-worker lint` goes by all of them but `wrong-provider`, which is for `assistant-worker doctor`.
"""
