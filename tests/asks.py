"""Asks for tests."""

from dataclasses import replace
from typing import Any

from tests.records import KEY, START
from worker.domain.asks import Ask, ask_id
from worker.domain.people import Person
from worker.domain.threads import ThreadKey

ADA = Person("token", "ada", "Ada")
MARY = Person("token", "mary", "Mary")


def ask(client_id: str = "1", about: ThreadKey = KEY, person: Person = ADA, **others: Any) -> Ask:
    """An ask about a thread, to be answered on its branch."""
    usual = Ask(
        id=ask_id(about, person, client_id),
        about=about,
        target=about.branch,
        person=person,
        client_id=client_id,
        text="Why?",
        instance=about.scope,
        definition_id="drones:3:4711",
        definition_key="drones",
        created_at=START,
        due_at=START,
    )
    return replace(usual, **others)
