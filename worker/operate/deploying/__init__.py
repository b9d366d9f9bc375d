"""`assistant-worker deploy`: a folder's models with what belongs to them, as one deployment, after a look at them."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from worker.domain.deployments import Bundle, Deployed, Problem
from worker.engine import NotDeployed, RestEngine
from worker.operate.at_engine import FAILED, at_engine
from worker.operate.commands import tables
from worker.operate.deploying.files import Chosen, choose
from worker.operate.lint import known_specs, report
from worker.operate.lint.checks import check
from worker.operate.lint.reading import SUFFIX, File, all_read, below, deployed_from
from worker.operate.models.rules import Level

MOST_LEFT_OUT: Final = 20
"""Files that are named to people."""
NEW, CHANGED, SAME, GONE = "new", "changed", "unchanged", "gone"


def deploy(options: Namespace) -> int:
    """Look at the models, and deploy them. Returns the exit code; raises Permanent where files cannot be read."""
    folder: Path = options.folder
    place = deployed_from(folder)
    models = all_read(sorted(below(folder, f"*{SUFFIX}")), place)
    chosen = choose(folder, models)
    errors = _checked(models, options.assistants)
    if errors and not options.force:
        tables.complain(f"{errors} of level error: nothing was deployed. Correct them, or add --force.")
        return FAILED
    name = options.name or folder.resolve().name
    bundle = Bundle(name, options.source, chosen.files, options.tenant)

    async def at(engine: RestEngine) -> int:
        before = await engine.deployments.latest(bundle)
        try:
            now = await engine.deployments.create(bundle)
        except NotDeployed as exc:
            for problem in exc.problems:
                tables.complain(_placed(folder, problem, models))
            tables.complain(f"Nothing was deployed: {exc}")
            return FAILED
        _tell(bundle, chosen, before, now, as_json=options.json)
        return 0

    return at_engine(at)


def _checked(models: Sequence[File], directory: Path | None) -> int:
    """Say what is wrong with the models, on the standard error. Returns how much of it is an error."""
    specs, remark = known_specs(directory)
    findings = [each for each in check(models, specs) if each.level is not Level.NOTE]
    for each in findings:
        for line in report.lines(each):
            tables.complain(line)
    if models and specs is None:
        tables.complain(remark)
    return sum(each.level is Level.ERROR for each in findings)


def _placed(folder: Path, problem: Problem, models: Sequence[File]) -> str:
    file = str(folder / problem.file)
    elements = problem.elements or [each for model in models if model.name == file for each in _at(model, problem.line)]
    whose = f"{', '.join(elements)}: " if elements else ""
    return f"{file}:{problem.line}: error engine: {whose}{problem.said}"


def _at(model: File, line: int) -> list[str]:
    """Find the element that an engine means which names none: its line is that where the element's start ends."""
    known = [(at, id_) for each, at in model.model.lines.items() if at <= line and (id_ := each.get("id"))]
    return [max(known, key=lambda found: found[0])[1]] if known else []


def _tell(bundle: Bundle, chosen: Chosen, before: Deployed | None, now: Deployed, *, as_json: bool) -> None:
    is_new = before is None or before.id != now.id
    rows = _rows(bundle, before, now, is_new=is_new)
    if as_json:
        tables.as_json(
            {
                "deployment": now.id,
                "name": bundle.name,
                "tenant": bundle.tenant,
                "is_new": is_new,
                "files": rows,
                "left_out": chosen.left_out,
            }
        )
        return
    shown = []
    for row in rows:
        known = row["definitions"] or [{"kind": "", "key": "", "version": ""}]
        shown += [(row["name"], row["state"], each["kind"], each["key"], each["version"]) for each in known]
    tables.show(["file", "is", "definition", "key", "version"], shown, "")
    whose = f" for the tenant {bundle.tenant}" if bundle.tenant else ""
    if is_new:
        tables.say(f"Deployed as {bundle.name}{whose}: {now.id}. Instances that run keep their versions.")
    else:
        tables.say(f"Nothing was deployed: {bundle.name}{whose} is there as it is, as {now.id}.")
        if any(row["state"] == GONE for row in rows):
            tables.say("For a file that is gone, and nothing else, engines make no deployment.")
    if chosen.left_out:
        more = len(chosen.left_out) - MOST_LEFT_OUT
        rest = f" and {more} more" if more > 0 else ""
        tables.say(f"Left out, as no model names them: {', '.join(chosen.left_out[:MOST_LEFT_OUT])}{rest}")


def _rows(bundle: Bundle, before: Deployed | None, now: Deployed, *, is_new: bool) -> list[dict[str, Any]]:
    """Tell of each file what has become of it, with the definitions in it."""
    earlier = before.files if before is not None else {}
    states = {
        name: NEW if name not in earlier else SAME if earlier[name] == content else CHANGED
        for name, content in bundle.files.items()
    }
    states |= {name: GONE for name in earlier if name not in bundle.files}
    return [
        {
            "name": name,
            "state": state,
            "definitions": [
                {"kind": each.kind, "key": each.key, "version": each.version, "is_new": is_new}
                for each in now.definitions
                if each.file == name and state != GONE
            ],
        }
        for name, state in states.items()
    ]
