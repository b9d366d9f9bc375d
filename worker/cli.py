"""Command line: `assistant-worker run | doctor | threads | transcript | stop | resume | stops | budgets | demo`.

Also as `python -m worker`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from worker import __doc__ as purpose
from worker import settings
from worker.errors import Permanent
from worker.operate import commands as for_operators
from worker.runtime.version import VERSION
from worker.telemetry import logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named on the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except Permanent as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assistant-worker", description=purpose)
    parser.add_argument("--version", action="version", version=f"assistant-worker {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="serve an engine until SIGTERM or Ctrl-C; settings come from the environment")
    run.set_defaults(command=_run)

    doctor = commands.add_parser("doctor", help="check engine, Redis, provider, assistants and deployed models")
    deep = "also hold engine, Redis and transcript against each other, by samples; may take a minute"
    doctor.add_argument("--deep", action="store_true", help=deep)
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)

    for_operators.add_to(commands)

    demo = commands.add_parser("demo", help="run processes of bpmn/ through a real engine on this machine")
    demo.add_argument(
        "--process", metavar="KEY", nargs="+", default=["decision"], help="which ones; a wrong key names what there is"
    )
    demo.add_argument("--once", action="store_true", help="end when the process instance has ended")
    demo.add_argument("--crash", action="store_true", help="kill the worker after step 2 and start another")
    demo.add_argument(
        "--model",
        choices=["scripted", "local"],
        default="scripted",
        help="who answers: a script, unless the environment names a provider; or a small model that runs here",
    )
    demo.set_defaults(command=_demo)
    return parser


def _run(_: argparse.Namespace) -> int:
    from worker import bootstrap  # noqa: PLC0415 - importing the adapters costs a second that --help need not pay

    chosen = settings.read()
    logs.configure(chosen.log_format, chosen.log_level, cached=True)
    return 0 if asyncio.run(bootstrap.run(chosen)) else 1


def _doctor(options: argparse.Namespace) -> int:
    from worker.operate import doctor  # noqa: PLC0415 - as above

    chosen = settings.read()
    logs.configure("console", "ERROR")
    return asyncio.run(doctor.examine(chosen, as_json=options.json, deep=options.deep))


def _demo(options: argparse.Namespace) -> int:
    try:
        from worker.demo import demo  # noqa: PLC0415 - the extra [demo] is not installed everywhere
    except ImportError as exc:
        raise Permanent(f"the demo needs more packages ({exc.name}): pip install 'assistant-worker[demo]'") from exc
    local = options.model == "local"
    return demo.main(once=options.once, crash=options.crash, local=local, processes=options.process)
