"""`assistant-worker lint`: what is wrong with models before they are deployed, without an engine, Redis or a key."""

from pathlib import Path

from worker import settings
from worker.operate.lint import report
from worker.operate.lint.checks import check, worst
from worker.operate.lint.reading import deployed_from, read
from worker.operate.models.rules import Level
from worker.specs import assistants
from worker.specs.assistants import Specs


def lint(paths: list[Path], *, folder: Path | None, directory: Path | None, form: str, level: Level) -> int:
    """Look at models and say what is wrong, as they would be deployed from a folder, if one is said.

    Returns the exit code; raises Permanent where the specs cannot be read.
    """
    models, unread = read(paths, deployed_from(folder))
    specs, remark = known_specs(directory)
    findings = check(models, specs)
    report.FORMS[form](report.Report(findings, unread, [each.name for each in models], remark))
    if unread:
        return 2
    gravest = worst(findings)
    return int(gravest is not None and gravest.rank >= level.rank)


def known_specs(directory: Path | None) -> tuple[Specs | None, str]:
    """Load the assistants, and say which: those of a folder that is given, else of the settings, if it is there.

    Only that one setting is read: others may be wrong, and nothing here hangs on them.
    """
    if directory is None:
        default = settings.Settings.model_fields["assistants_dir"].default
        directory = Path(settings.variables().get("ASSISTANTS_DIR") or default)
        if not directory.is_dir():
            return (
                None,
                f"Which assistants there are is not known: {directory} is no folder; --assistants DIR names one.",
            )
    return assistants.load(directory, None), f"The assistants are those of {directory}."
