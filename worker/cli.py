"""Command line: `assistant-worker run | init | doctor | lint | templates | deploy | start | ask | demo | …`.

Also as `python -m worker`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker import __doc__ as purpose
from worker.errors import Permanent
from worker.operate import commands as for_operators
from worker.operate.parser import EXAMPLE, Commands, Parser, add, below
from worker.runtime.version import VERSION

FIRST_STEPS: Final = (
    f"{EXAMPLE}assistant-worker demo\n{EXAMPLE}assistant-worker init my-processes\n\n"
    "Each command has a --help of its own."
)
SETTINGS: Final = "Settings are read from the environment, and from .env in the working directory."
FOLDER: Final = "what all is deployed from: schemas, questions, forms and specs are named from there"
SHELLS: Final = ("bash", "zsh", "fish")
EVALUATE: Final = (
    f'{EXAMPLE}eval "$(assistant-worker completion bash)"\n'
    f'{EXAMPLE}autoload -Uz compinit && compinit && eval "$(assistant-worker completion zsh)"\n'
    f"{EXAMPLE}assistant-worker completion fish | source\n\n"
    "The line of your shell belongs into its start-up file, such as .bashrc."
)
PROCESSES: Final = (
    "Keys: approval, dadm, decision, decision_frame, parallel_analysis, procurement, quick_decision, red_team, "
    "returning_customer, trade_study."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named on the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        command_line().print_help(sys.stderr)
        return 2
    options = command_line().parse_args(given)
    try:
        return int(options.command(options))
    except Permanent as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def command_line() -> Parser:
    """All commands with their options."""
    parser = Parser(prog="assistant-worker", description=purpose, epilog=FIRST_STEPS)
    parser.add_argument("--version", action="version", version=f"assistant-worker {VERSION}", help="print the version")
    commands = below(parser)

    more = f"{SETTINGS}\n\nExit codes: 0 it was told to stop; 1 an error ended it; 2 a setting is wrong."
    run = add(commands, "run", "serve an engine until SIGTERM or Ctrl-C", more=more)
    run.set_defaults(command=_run)

    init = add(commands, "init", "write a folder to start from: an assistant, a process, settings, a Compose file")
    init.add_argument("folder", metavar="DIR", type=Path, help="where; it is made if it is not there")
    init.add_argument("--overwrite", action="store_true", help="replace files that are there, .env with its key too")
    init.set_defaults(command=_init)

    more = f"{SETTINGS}\n\nExit codes: 0 nothing would stop the work; 1 something would; 2 a setting is wrong."
    what = "check engine, Redis, providers, transcript, assistants and deployed models, and say what to do"
    doctor = add(commands, "doctor", what, more=more)
    doctor.add_argument("--no-calls", action="store_true", help="ask no model the one small question that it may cost")
    deep = "also hold engine, Redis and transcript against each other, by samples; may take a minute"
    doctor.add_argument("--deep", action="store_true", help=deep)
    doctor.add_argument("--json", action="store_true", help="print JSON, for programs")
    doctor.set_defaults(command=_doctor)

    _add_lint(commands)
    _add_templates(commands)
    _add_deploy(commands)
    _add_start(commands)
    _add_ask(commands)
    for_operators.add_to(commands)

    demo = add(commands, "demo", "run sample processes through a real engine on this machine", more=PROCESSES)
    demo.add_argument(
        "--process",
        metavar="KEY",
        nargs="+",
        default=["decision"],
        help="which ones, by their keys; decision by default",
    )
    engines = ("operaton", "camunda")
    demo.add_argument(
        "--engine", choices=engines, default=engines[0], help="which engine runs them; Operaton by default"
    )
    demo.add_argument("--once", action="store_true", help="end when the processes have ended, and not by Ctrl-C")
    demo.add_argument("--crash", action="store_true", help="kill the worker after step 2 and start another")
    demo.add_argument(
        "--model",
        choices=["scripted", "local"],
        default="scripted",
        help="who answers: a script, unless the environment names a provider; or a small model that runs here",
    )
    demo.set_defaults(command=_demo)

    completion = add(commands, "completion", "print what a shell needs to complete commands and options", more=EVALUATE)
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")
    completion.set_defaults(command=_completion)
    return parser


def _add_lint(commands: "Commands[argparse.ArgumentParser]") -> None:
    more = (
        f"{EXAMPLE}assistant-worker lint offers --format sarif > lint.sarif\n\nFiles that are named together are taken "
        "for one deployment; of folders, what is hidden and node_modules are left out. Exit codes: 0 nothing above "
        "notes; 1 something from --level on; 2 a file cannot be read."
    )
    what = "say what is wrong with models before they are deployed; without engine, Redis or key"
    lint = add(commands, "lint", what, more=more)
    lint.add_argument("files", metavar="FILE", nargs="*", type=Path, help="a model, or a folder, as deploy takes it")
    lint.add_argument("--folder", metavar="DIR", type=Path, help=f"{FOLDER}; without it, beside each FILE")
    default = "ASSISTANTS_DIR by default, if it is there"
    lint.add_argument("--assistants", metavar="DIR", type=Path, help=f"folder with the assistants' specs; {default}")
    lint.add_argument("--format", choices=["text", "json", "sarif"], default="text", help="as what; text by default")
    level = "from which level on a finding makes the exit code 1; warning by default"
    lint.add_argument("--level", choices=["note", "warning", "error"], default="warning", help=level)
    plugin = "instead, write a plugin for Camunda Modeler and bpmnlint into a folder of its own there"
    lint.add_argument("--plugin", metavar="DIR", type=Path, help=plugin)
    lint.set_defaults(command=_lint)


def _add_templates(commands: "Commands[argparse.ArgumentParser]") -> None:
    more = (
        f"{EXAMPLE}assistant-worker templates .camunda/element-templates\n\nCamunda Modeler finds them there, beside "
        "or above a model. Exit codes: 0 done; 1 --check found a difference; 2 a file cannot be read or written."
    )
    what = "write element templates for Camunda Modeler, one for each kind of task"
    templates = add(commands, "templates", what, more=more)
    templates.add_argument("folder", metavar="DIR", type=Path, help="where; it is made if it is not there")
    templates.add_argument("--check", action="store_true", help="write nothing; end with 1 if something else is there")
    offered = "offer the names of the assistants of this folder; without it, any name may be written"
    templates.add_argument("--assistants", metavar="DIR", type=Path, help=offered)
    templates.set_defaults(command=_templates)


def _add_deploy(commands: "Commands[argparse.ArgumentParser]") -> None:
    more = (
        f"{EXAMPLE}assistant-worker deploy offers --tenant acme\n\n{SETTINGS}\n\n"
        "Exit codes: 0 deployed, or there already; 1 a model has an error, or the engine takes it not or is away; "
        "2 a file or a setting is wrong."
    )
    what = "check a folder's models and deploy them with forms, schemas and assistants, as one deployment"
    deploy = add(commands, "deploy", what, more=more)
    deploy.add_argument("folder", metavar="DIR", type=Path, help="models (.bpmn, .dmn) and what belongs to them")
    deploy.add_argument("--name", metavar="NAME", help="the deployment's name; the folder's by default")
    deploy.add_argument("--tenant", metavar="TENANT", type=_tenant, help="for this tenant alone")
    source = "where it comes from; assistant-worker by default"
    deploy.add_argument("--source", metavar="TEXT", default="assistant-worker", help=source)
    deploy.add_argument("--assistants", metavar="DIR", type=Path, help="as for lint: folder with the assistants' specs")
    deploy.add_argument("--force", action="store_true", help="deploy in spite of errors that lint finds")
    deploy.add_argument("--json", action="store_true", help="print JSON, for programs")
    deploy.set_defaults(command=_deploy)


def _add_start(commands: "Commands[argparse.ArgumentParser]") -> None:
    more = (
        f"{EXAMPLE}assistant-worker start decision --variables decision.json --follow\n\n{SETTINGS}\n\n"
        "Exit codes: 0 started, and with --follow completed; 1 the engine refuses or is away; 2 there is no such "
        "process, or a file or a setting is wrong; 3 it has an incident; 4 it was terminated, or a BPMN error ended "
        "it; 5 it was started, and nobody can tell what became of it; 6 nobody can tell whether it was started."
    )
    what = "start an instance of a process, and follow it to its end"
    start = add(commands, "start", what, more=more)
    start.add_argument("key", metavar="KEY", help="the id that the process has in its model")
    given = "a JSON object: plain values, or engines' {value, type}"
    start.add_argument("--variables", metavar="FILE", type=Path, help=given)
    start.add_argument("--business-key", metavar="KEY", help="the instance's business key")
    start.add_argument(
        "--tenant", metavar="TENANT", type=_tenant, help="the process of this tenant; without it, of none"
    )
    start.add_argument("--version", metavar="N", type=_version, help="this version; without it, the latest")
    follow = "tell each step's progress until it is over or has an incident; Ctrl-C leaves the instance as it is"
    start.add_argument("--follow", action="store_true", help=follow)
    start.add_argument("--json", action="store_true", help="print JSON, for programs; progress goes to standard error")
    start.set_defaults(command=_start)


def _add_ask(commands: "Commands[argparse.ArgumentParser]") -> None:
    more = (
        f"{EXAMPLE}assistant-worker ask offers.bpmn review --variables offer.json --dry-run\n\n{SETTINGS}\n\n"
        "Neither engine nor Redis is needed; nothing is kept, and no budget counts it. Exit codes: 0 done; 1 no usable "
        "answer came; 2 it would not be asked, or a file or a setting is wrong; 4 the task would throw a BPMN error."
    )
    what = "show a task's question as a worker would ask it, ask it, and show the variables that the task would set"
    ask = add(commands, "ask", what, more=more)
    ask.add_argument("file", metavar="FILE", type=Path, help="the model; schemas and questions lie beside it")
    ask.add_argument("--folder", metavar="DIR", type=Path, help=f"{FOLDER}; without it, beside FILE")
    ask.add_argument("task", metavar="TASK", help="the id of a task that asks an assistant")
    ask.add_argument("--variables", metavar="FILE", type=Path, help="what the task sees, as for start")
    ask.add_argument("--business-key", metavar="KEY", help="the instance's business key")
    ask.add_argument("--assistants", metavar="DIR", type=Path, help="folder with specs; ASSISTANTS_DIR by default")
    ask.add_argument("--dry-run", action="store_true", help="only show the question; no provider is asked or paid")
    ask.add_argument("--json", action="store_true", help="print JSON, for programs")
    ask.set_defaults(command=_ask)


def _tenant(text: str) -> str:
    """Refuse a script's variable that is not set: engines know a tenant without a name, too."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a tenant; leave it out for none")
    return text


def _version(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def _run(_: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415 - all of this costs a second that --help need not pay

    from worker import bootstrap, settings  # noqa: PLC0415 - as above
    from worker.telemetry import logs  # noqa: PLC0415 - as above

    chosen = settings.read()
    logs.configure(chosen.log_format, chosen.log_level, cached=True)
    return 0 if asyncio.run(bootstrap.run(chosen)) else 1


def _init(options: argparse.Namespace) -> int:
    from worker.operate import starting  # noqa: PLC0415 - as above

    starting.begin(options.folder, overwrite=options.overwrite)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415 - as above

    from worker import settings  # noqa: PLC0415 - as above
    from worker.operate import doctor  # noqa: PLC0415 - as above
    from worker.telemetry import logs  # noqa: PLC0415 - as above

    chosen = settings.read()
    logs.configure("console", "ERROR")
    return asyncio.run(doctor.examine(chosen, calls=not options.no_calls, as_json=options.json, deep=options.deep))


def _lint(options: argparse.Namespace) -> int:
    from worker.operate.lint import lint, plugin  # noqa: PLC0415 - as above
    from worker.operate.models.rules import Level  # noqa: PLC0415 - as above

    if bool(options.files) == bool(options.plugin):
        raise Permanent("lint wants either FILE, one or several, or --plugin")
    if options.plugin:
        return plugin.write(options.plugin)
    level = Level(options.level)
    return lint(options.files, folder=options.folder, directory=options.assistants, form=options.format, level=level)


def _templates(options: argparse.Namespace) -> int:
    from worker.operate.templates import templates  # noqa: PLC0415 - as above

    return templates(options.folder, directory=options.assistants, check=options.check)


def _deploy(options: argparse.Namespace) -> int:
    from worker.operate.deploying import deploy  # noqa: PLC0415 - as above

    return deploy(options)


def _start(options: argparse.Namespace) -> int:
    from worker.operate.instances import start  # noqa: PLC0415 - as above

    return start(options)


def _ask(options: argparse.Namespace) -> int:
    from worker.operate.asking import ask  # noqa: PLC0415 - as above

    return ask(options)


def _completion(options: argparse.Namespace) -> int:
    from worker.operate import completion  # noqa: PLC0415 - as above

    sys.stdout.write(completion.script(command_line(), options.shell))
    return 0


def _demo(options: argparse.Namespace) -> int:
    try:
        from worker.demo import demo  # noqa: PLC0415 - the extra [demo] is not installed everywhere
    except ImportError as exc:
        raise Permanent(f"the demo needs more packages ({exc.name}): pip install 'assistant-worker[demo]'") from exc
    local = options.model == "local"
    return demo.main(
        once=options.once, crash=options.crash, local=local, engine=options.engine, processes=options.process
    )
