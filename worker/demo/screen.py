"""What the demo shows: plain lines that can be piped; on a terminal with colour and one line that lives."""

import contextlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console, RenderableType
from rich.json import JSON
from rich.markdown import Markdown
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status

from worker.demo.application import Application
from worker.demo.outcome import Outcome

_ID_CHARACTERS: Final = 13
_NAME: Final = 26
"""Characters for the name of a step."""
_FOUND: Final = {"journal": "had been answered and noted", "thread": "had been answered; found on the thread"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, as the worker's log tells it. `use` is created, reused, recreated or adopted."""

    instance: str
    process: str
    activity: str
    assistant: str
    verdict: str
    thread: str | None
    use: str | None
    recovered: str | None
    tokens: tuple[int | None, int | None]
    seconds: float
    reason: str

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Read the worker's log line."""
        tokens = (line.get("input_tokens"), line.get("output_tokens"))
        return cls(
            instance=line["process_instance_id"],
            process=line.get("definition", ""),
            activity=line["activity"],
            assistant=line.get("assistant", ""),
            verdict=line["verdict"],
            thread=line.get("thread_id"),
            use=line.get("use"),
            recovered=line.get("recovered"),
            tokens=tokens,
            seconds=line["seconds"],
            reason=line.get("reason", ""),
        )

    @property
    def completed(self) -> bool:
        """Whether the step is done."""
        return self.verdict == "complete"


class Paper(Console):
    """A console whose reader may go away, as `| head` does: that ends the demo as a signal would."""

    def on_broken_pipe(self) -> None:
        """Write no more, and stop."""
        with contextlib.suppress(SystemExit):  # it would end a task wherever it is, and not in order
            super().on_broken_pipe()
        signal.raise_signal(signal.SIGTERM)


class Screen:
    """Shows the demo as it goes. Texts of others are escaped, so that no bracket of theirs is taken for a colour."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Paper(highlight=False)
        self._status: Status | None = None

    def title(self, provider: str | None) -> None:
        """Say who answers: a provider's address, or None for the script."""
        if provider is None:
            self._say("[yellow]The answers are scripted:[/] no model is asked. Engine, Valkey and worker are real.")
            self._say("[dim]With OPENAI_API_KEY or OPENAI_BASE_URL set, the real provider answers.[/]")
        else:
            self._say(f"[yellow]The real provider answers:[/] {escape(provider)}. It may charge for it.")
        self._say()

    def local_title(self) -> None:
        """Say that the small model answers, and what to expect of it."""
        self._say("[yellow]A real model answers, on this machine:[/] SmolLM2 on llama.cpp. Nothing leaves it.")
        self._say(
            "It has 135 million parameters. It strings words together and [yellow]cannot reason[/]: look at what the"
        )
        self._say("worker does, and take no sentence of the answers for advice. A step takes a minute or so.")
        self._say()

    def place(self, cache: Path) -> None:
        """Say where something stays when the demo is over."""
        self._say(f"[dim]What is fetched stays in {escape(str(cache))}; nothing else stays.[/]")
        self._say()

    def ready(self, name: str, seconds: float, where: str) -> None:
        """A part runs."""
        self._say(f"  [green]ready[/]  {name:<13} {seconds:4.1f} s   [dim]{where}[/]")

    def cockpit(self, url: str, user: str, password: str) -> None:
        """Where people look at the engine."""
        self._say(f"  [green]ready[/]  {'Cockpit':<13}          [link={url}]{url}[/link]   [dim]{user} / {password}[/]")
        self._say()

    def instance(self, application: Application, instance: str, page: str, conversation: str) -> None:
        """A process instance begins; terminals make its id a link to its page in Cockpit."""
        self._say(f"[bold]{escape(application.name)}[/]")
        self._say(escape(application.subject))
        self._say(f"[dim]process instance [link={page}]{instance}[/link][/]")
        self._say(f"[dim]conversation     [link={conversation}]{conversation}[/link][/]")
        self._say()
        header = f"    {'Step':<{_NAME}} {'Thread':<15} {'':<9} {'Tokens in / out':>15}      Time"
        self._say(f"[dim]{header}{'' if application.is_plain else '   Assistant'}[/]")

    def turn(self, number: int, name: str, turn: Turn, who: str = "") -> None:
        """A turn is over. `who` answered, where that is not always the same."""
        if not turn.completed:
            self._say(f" [red]{number:>2} {escape(name)}: {turn.verdict}[/] {escape(turn.reason)}")
            return
        tokens = "-" if None in turn.tokens else "{:,} / {:,}".format(*turn.tokens)
        thread = short(turn.thread or "-")
        use = f"[{'cyan' if turn.use == 'reused' else 'green'}]{turn.use or '-':<9}[/]"
        row = f"{number:>2} {escape(f'{name:<{_NAME}}')} {thread:<15} {use} {tokens:>15} {turn.seconds:>7.1f} s"
        self._say(f" {row}" + (f"   [dim]{escape(who)}[/]" if who else ""))
        if turn.recovered:
            self._say(f"    [dim]{_FOUND.get(turn.recovered, turn.recovered)}: not asked again[/]")

    def made(self, name: str, seconds: float) -> None:
        """A step is done that no assistant was asked for."""
        self._say(f"    {escape(f'{name:<{_NAME}}')} [dim]{'by code':<41}[/] {seconds:>7.1f} s")

    def record(self, page: str, command: str) -> None:
        """Where the decision's record can be read."""
        self._say(f"record   [link={page}]{page}[/link]")
        self._say(f"[dim]{escape(command)}[/]")
        self._say()

    def note(self, text: str) -> None:
        """Something that the watcher should know."""
        self._say(f"  [yellow]! {escape(text)}[/]")

    def doing(self, text: str) -> None:
        """What goes on now: a line that lives on a terminal, and is left out elsewhere. An empty text ends it."""
        if not self.console.is_terminal or not text:
            self._stop_status()
        elif self._status is None:
            self._status = self.console.status(f"[dim]{escape(text)}[/]")
            self._status.start()
        else:
            self._status.update(f"[dim]{escape(text)}[/]")

    def result(self, title: str, text: str) -> None:
        """What the last step answered, as it was written where it is not drawn."""
        self._say()
        if self.console.is_terminal:
            self.console.print(Panel(_drawn(text), title=title, title_align="left", padding=(1, 2)))
        else:
            self._say(f"{escape(title)}\n")
            self.console.print(text, markup=False, soft_wrap=True)
        self._say()

    def outcome(self, outcome: Outcome) -> None:
        """What the process came to, as a table, and the recommendation below it."""
        widths = [max(map(len, column)) for column in zip(*outcome.rows, strict=True)]
        for number, row in enumerate(outcome.rows):
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            line = escape(f"  {'  '.join(cells)}".rstrip())
            self._say(line if number else f"[dim]{line}[/]")
        self._say()
        self._say(f"[bold]{escape(outcome.reached)}[/]")
        self._say()

    def proof(self, proof: str, account: str, faults: Sequence[str]) -> None:
        """The whole in one line; how that is known, and what is wrong with it."""
        self._say(f"[bold {'red' if faults else 'green'}]{proof}[/]")
        self._say(f"[dim]{escape(account)}[/]")
        for fault in faults:
            self._say(f"[red]But {escape(fault)}.[/]")
        self._say()

    def staying(self, url: str, variables: Path) -> None:
        """The process is over, and the parts still run."""
        start = f'curl -H \'Content-Type: application/json\' -d "{{\\"variables\\": $(cat {variables})}}" {url}'
        self._say("Everything stays up: look around in Cockpit, or start another instance and watch it there and here:")
        self._say(f"[dim]{escape(start)}[/]")
        self._say("[bold]Ctrl-C[/] ends it.")

    def another(self, instance: str) -> None:
        """Somebody has started one more."""
        self._say(f"\n[dim]process instance {instance}[/]")

    def stopping(self) -> None:
        """Somebody wants an end."""
        self.doing("")
        self._say("\n[dim]Stopping what was started …[/]")

    def failure(self, reason: str) -> None:
        """Why it cannot go on."""
        self.doing("")
        self._say(f"\n[bold red]The demo failed:[/] {escape(reason)}")

    def _say(self, markup: str = "") -> None:
        # Soft: a pipe has no width, and a terminal breaks a long address without breaking its link.
        self.console.print(markup, soft_wrap=True)

    def _stop_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def short(id: str) -> str:  # noqa: A002 - the word for it
    """As much of an id as tells it from others."""
    return id if len(id) <= _ID_CHARACTERS else f"{id[:_ID_CHARACTERS]}…"


def _drawn(text: str) -> RenderableType:
    try:
        return JSON(text)
    except ValueError:
        return Markdown(text)
