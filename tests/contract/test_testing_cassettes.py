"""Questions that are recorded from a provider over HTTP, and answered without it afterwards, through our adapters."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.contract.apis import Asking, asking
from tests.contract.questions import KEY, assistant, question
from tests.contract.test_models_decisions import ASKED, WIRES
from tests.listening import listening
from worker.demo.model import ModelServer
from worker.demo.model.answering import PATHS, PROVIDER_HEADER
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Answer, Outcome, Said
from worker.errors import BadRequest, ModelDown, ProviderPaused, WorkerError
from worker.providers import Client, OpenAIProvider
from worker.testing.cassette import Cassette, Reader
from worker.testing.playing import Mode, Player, Way
from worker.testing.written import Upstream

APIS: tuple[Api, ...] = ("conversations", "responses", "chat")
RECORDED: tuple[Mode, ...] = ("once", "none")
"""Recorded, and then replayed."""
BIRDS = {"type": "object", "required": ["bird"], "properties": {"bird": {"type": "string"}}}


@pytest.fixture
async def real() -> AsyncIterator[ModelServer]:
    """The provider that is recorded, behind a key."""
    async with ModelServer(key=KEY) as server:
        yield server


@pytest.fixture
async def front() -> AsyncIterator[ModelServer]:
    """Whom the worker asks in a test."""
    async with ModelServer(any_model=True) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test.yaml"


class Tape:
    """One test's cassette, played by one run after the other."""

    def __init__(self, front: ModelServer, path: Path, upstream: Upstream) -> None:
        self.front, self.path, self.upstream = front, path, upstream
        self.flaws: list[str] = []

    @asynccontextmanager
    async def run(self, api: Api, mode: Mode = "none", *, streamed: bool = False) -> AsyncIterator[Asking]:
        """Ask over one API in a run of this mode, on a new thread."""
        cassette = Cassette(self.path) if mode == "all" else Cassette.load(self.path)
        reader = Reader({"Answer in one sentence.": "analyst"})
        player = Player(cassette, reader, Way(mode, lambda: {"here": self.upstream}, {}))
        self.front.answerer = player
        headers = {PROVIDER_HEADER: "here"}
        spec = ProviderSpec(name="here", api=api, base_url=self.front.base_url, headers=headers)
        async with asking(spec, streamed=streamed) as provider:
            if isinstance(provider.provider, OpenAIProvider):
                provider.thread = await provider.provider.create_thread({"assistant": "analyst"})
            yield provider
        await player.close()
        self.flaws = player.told()

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")


@pytest.fixture
def tape(front: ModelServer, real: ModelServer, path: Path) -> Tape:
    return Tape(front, path, Upstream(real.base_url, {"Authorization": f"Bearer {KEY}"}))


async def conversation(provider: Asking, *questions: str) -> list[Answer]:
    """Ask one after the other on one thread; what the provider does not keep is told it."""
    said: list[Said] = []
    answers = []
    for text in questions:
        answers.append(await provider.ask(text, said=said))
        said += [Said("user", text), Said("assistant", answers[-1].text)]
    return answers


STEPS = ("# Review it\n\nWhat is missing?", "# Rate it\n\nFrom 1 to 5.", "# Conclude\n\nSo?")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS)
async def test_a_conversation_is_replayed_without_its_provider(
    tape: Tape,
    real: ModelServer,
    api: Api,
    streamed: bool,
) -> None:
    async with tape.run(api, "once", streamed=streamed) as provider:
        recorded = await conversation(provider, *STEPS)
    calls = len(real.requests())
    assert [each.outcome for each in recorded] == 3 * [Outcome.OK]
    assert "2 earlier turns" in recorded[2].text, "the provider was told what was said"
    assert real.counts()["created"] == 0, "nothing is left at the provider"

    async with tape.run(api, "none", streamed=streamed) as provider:
        replayed = await conversation(provider, *STEPS)
    assert [(each.text, each.outcome, each.model, each.input_tokens) for each in replayed] == [
        (each.text, each.outcome, each.model, each.input_tokens) for each in recorded
    ]
    assert len(real.requests()) == calls
    assert tape.flaws == []


async def test_an_answer_that_is_replayed_stands_on_its_conversation(tape: Tape) -> None:
    for mode in RECORDED:
        async with tape.run("conversations", mode) as provider:
            await conversation(provider, *STEPS[:1])
            [thread] = [each for each in tape.front.conversations().values() if each["id"] == provider.thread]
            assert [item["role"] for item in thread["items"] if item["type"] == "message"] == ["user", "assistant"]


async def test_what_a_conversation_begins_with_goes_to_the_real_provider(tape: Tape, real: ModelServer) -> None:
    async with tape.run("conversations", "once") as provider:
        assert isinstance(provider.provider, OpenAIProvider)
        told = [Said("developer", "This goes on."), Said("user", "One?"), Said("assistant", "One.")]
        provider.thread = await provider.provider.create_thread({"assistant": "analyst"}, told)
        await provider.ask(STEPS[0])
    [request] = real.requests("responses.create")
    assert [(each["role"], each["content"]) for each in request["body"]["input"][:-1]] == [
        ("system", "This goes on."),
        ("user", "One?"),
        ("assistant", "One."),
    ]


async def test_neither_key_nor_id_nor_ref_is_on_a_cassette(tape: Tape, real: ModelServer) -> None:
    async with tape.run("conversations", "once") as provider:
        await conversation(provider, *STEPS)
    for word in (KEY, "Bearer", "Authorization", "resp_", "msg_", "conv_", "(ref ", "created", real.base_url):
        assert word not in tape.text
    assert "assistant: analyst" in tape.text


async def test_a_question_that_is_not_recorded_is_an_error_that_shows_the_nearest(
    tape: Tape, real: ModelServer
) -> None:
    async with tape.run("conversations", "once") as provider:
        await conversation(provider, *STEPS[:2])
    before, calls = tape.text, len(real.requests())
    for mode in RECORDED:
        async with tape.run("conversations", mode) as provider:
            with pytest.raises(BadRequest, match="not_on_cassette"):
                await conversation(provider, STEPS[0], "# Rate it\n\nFrom 1 to 10.")
        [flaw] = tape.flaws
        assert flaw.startswith("No answer is recorded for this question of analyst in test.yaml:\n\n# Rate it")
        assert "-From 1 to 5.\n+From 1 to 10." in flaw
        assert flaw.endswith(
            "To record what is new: pytest --assistants-record-mode=new_episodes; "
            "to record all of this test anew: pytest --assistants-record-mode=all"
        )
    assert tape.text == before
    assert len(real.requests()) == calls


async def test_without_a_cassette_it_is_said_how_to_record_one(tape: Tape) -> None:
    async with tape.run("chat") as provider:
        with pytest.raises(BadRequest):
            await provider.ask(STEPS[0], assistant(output_schema=BIRDS))
    [flaw] = tape.flaws
    assert flaw.endswith(f"There is no cassette {tape.path}. To record one: pytest --assistants-record-mode=once")
    assert len(tape.front.requests("chat.completions.create")) == 1, "nothing of the form was refused"
    assert not tape.path.exists()


async def test_new_episodes_are_added_and_all_is_recorded_anew(tape: Tape, real: ModelServer) -> None:
    async with tape.run("responses", "once") as provider:
        await conversation(provider, *STEPS[:2])
    async with tape.run("responses", "new_episodes") as provider:
        await conversation(provider, *STEPS)
    assert len(real.requests("responses.create")) == 3
    assert [each.asked.question for each in Cassette.load(tape.path).exchanges if each] == list(STEPS)

    real.answer("Review", "Nothing is missing.")
    async with tape.run("responses", "all") as provider:
        await conversation(provider, STEPS[0])
    [exchange] = Cassette.load(tape.path).exchanges
    assert "Nothing is missing." in json.dumps(exchange.reply if exchange else "")


async def test_the_same_question_twice_has_its_two_answers_in_order(tape: Tape, real: ModelServer) -> None:
    async with tape.run("chat", "once") as provider:
        for word in ("one", "two"):
            real.answer("Review", word)
            await provider.ask(STEPS[0])
            await real.reset()
    async with tape.run("chat", "none") as provider:
        assert [(await provider.ask(STEPS[0])).text for _ in range(2)] == ["one", "two"]
        with pytest.raises(BadRequest):
            await provider.ask(STEPS[0])
    assert "It is recorded 2 times, and was asked once more." in tape.flaws[0]


@pytest.mark.parametrize("outcome", ["refused", "filtered", "incomplete", "empty", "phased", "parts"])
@pytest.mark.parametrize("api", APIS)
async def test_answers_that_are_none_are_replayed_as_they_were(
    tape: Tape, real: ModelServer, api: Api, outcome: str
) -> None:
    real.fault("*.create", outcome=outcome)
    answers = []
    for mode in RECORDED:
        async with tape.run(api, mode) as provider:
            answers += await conversation(provider, STEPS[0])
    assert (answers[0].outcome, answers[0].text) == (answers[1].outcome, answers[1].text)
    assert (answers[0].outcome is Outcome.OK) == (outcome in {"phased", "parts"})


@pytest.mark.parametrize("api", APIS)
async def test_a_question_that_the_provider_s_filter_stops_is_recorded(tape: Tape, real: ModelServer, api: Api) -> None:
    error = {"code": "content_filter", "message": "org-123 may not ask this", "type": None, "param": "prompt"}
    real.fault("*.create", reply={"status": 400, "json": {"error": error}})
    for mode in RECORDED:
        async with tape.run(api, mode) as provider:
            [answer] = await conversation(provider, STEPS[0])
            assert answer.outcome is Outcome.FILTERED
    assert "org-123" not in tape.text
    assert "status: 400" in tape.text


@pytest.mark.parametrize(
    ("reply", "error", "flaw"),
    [
        ("unauthorized", ProviderPaused, "answers 401 (invalid_api_key)."),
        ("rate_limit", ModelDown, ""),
        ("not_json_200", WorkerError, ""),
        ("html_404", WorkerError, "answers 404."),
    ],
)
async def test_a_refusal_that_says_nothing_of_the_question_is_passed_on_and_not_recorded(
    tape: Tape, real: ModelServer, reply: str, error: type[WorkerError], flaw: str
) -> None:
    real.fault("*.create", reply=reply)
    async with tape.run("conversations", "once") as provider:
        with pytest.raises(error):
            await provider.ask(STEPS[0])
        assert (await provider.ask(STEPS[0])).outcome is Outcome.OK
    assert len(Cassette.load(tape.path).exchanges) == 1
    told = f"Nothing can be recorded: the provider at {real.base_url} {flaw}"
    assert tape.flaws == ([told] if flaw else []), "what is to be mended is told at once"


async def test_a_schema_that_the_provider_refuses_is_found_by_either_form(tape: Tape, real: ModelServer) -> None:
    error = {"code": None, "message": "no", "type": "invalid_request_error", "param": "response_format"}
    real.fault("*.create", reply={"status": 400, "json": {"error": error}})
    for mode in RECORDED:
        async with tape.run("chat", mode) as provider:
            assert (await provider.ask(STEPS[0], assistant(output_schema=BIRDS))).outcome is Outcome.OK
    assert len(real.requests("chat.completions.create")) == 2
    assert tape.flaws == []


async def test_a_provider_that_is_away_is_said_to_be_away(front: ModelServer, path: Path) -> None:
    tape = Tape(front, path, Upstream("http://127.0.0.1:9/v1"))
    async with tape.run("chat", "once") as provider:
        with pytest.raises(ModelDown):
            await provider.ask(STEPS[0])
    assert not Cassette.load(path).exchanges
    assert "The provider at http://127.0.0.1:9/v1 cannot be reached" in tape.flaws[0]


async def test_a_provider_without_its_key_is_not_asked(front: ModelServer, path: Path) -> None:
    tape = Tape(front, path, Upstream("http://127.0.0.1:9/v1", lacks="OPENAI_API_KEY"))
    async with tape.run("chat", "once") as provider:
        with pytest.raises(BadRequest):
            await provider.ask(STEPS[0])
    assert tape.flaws == ["Nothing can be recorded: OPENAI_API_KEY is not set, which the real provider wants."]


@pytest.mark.parametrize("where", ["question", "answer"])
async def test_a_secret_lands_on_no_cassette(
    tape: Tape, real: ModelServer, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BILLING_TOKEN", "tok-4711-4711")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:let-me-in@db/x")
    for secret, name in (
        ("tok-4711-4711", "BILLING_TOKEN"),
        ("let-me-in", "DATABASE_URL (its password)"),
        (KEY, "a header, a query or the proxy of the provider here (0)"),
    ):
        if where == "answer":
            real.answer("Review", f"It is {secret}.")
        async with tape.run("responses", "once") as provider:
            with pytest.raises(BadRequest):
                await provider.ask(STEPS[0] + (secret if where == "question" else ""))
        [flaw] = tape.flaws
        assert f"the value of {name} stands in it" in flaw
        assert secret not in flaw
        await real.reset()
    assert not tape.path.exists()


@pytest.mark.parametrize("api", WIRES)
async def test_decision_questions_are_replayed_with_their_probabilities(
    tape: Tape, real: ModelServer, api: Api
) -> None:
    real.weigh(fit=0.2, route={"board": 0.3, "true": 0.7}, urgency=None)
    spec = assistant(model="gpt-6-luna", questions=ASKED)
    answers = []
    for mode in RECORDED:
        async with (
            tape.run("chat", mode),
            Client.open(
                ProviderSpec(name="here", api=api, base_url=tape.front.base_url, headers={PROVIDER_HEADER: "here"})
            ) as client,
        ):
            answers.append(await WIRES[api](client).ask([], "Who?", spec))
    assert answers[0] == answers[1]
    assert json.loads(answers[1].text)["fit"]["probability"] == pytest.approx(0.2)
    assert len(real.requests(f"{api}.create")) == 1


async def test_what_is_scripted_goes_before_the_cassette(tape: Tape) -> None:
    tape.front.fault("responses.create|chat.completions.create", question=["# Rate"], answer="scripted")
    async with tape.run("responses", "once") as provider:
        texts = [each.text for each in await conversation(provider, *STEPS[:2])]
    assert texts[1] == "scripted"
    assert len(Cassette.load(tape.path).exchanges) == 1


async def test_a_run_in_the_background_is_recorded_as_any_other(tape: Tape) -> None:
    for mode in RECORDED:
        async with tape.run("conversations", mode) as provider:
            assert isinstance(provider.provider, OpenAIProvider)
            run = await provider.provider.start(provider.thread, question(STEPS[0]), assistant())
            answer = await provider.provider.follow(run, timedelta(seconds=10))
            assert answer is not None
            assert answer.outcome is Outcome.OK
    assert tape.flaws == []


ODD: Mapping[str, tuple[Api, Any]] = {
    "only output_text": ("responses", {"id": "r", "output_text": "A pelican."}),
    "content as a text": (
        "conversations",
        {"output": [{"role": "assistant", "type": "message", "content": "A pelican."}]},
    ),
    "llama.cpp": (
        "chat",
        {
            "choices": [
                {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "A pelican."}}
            ],
            "created": 1,
            "model": "smollm2",
            "system_fingerprint": "b1",
            "object": "chat.completion",
            "usage": {"completion_tokens": 3, "prompt_tokens": 9, "total_tokens": 12},
            "id": "chatcmpl-1",
            "timings": {"prompt_n": 9},
        },
    ),
    "parts with thinking": (
        "chat",
        {
            "choices": [
                {"message": {"content": [{"type": "thinking", "text": "Hm."}, {"type": "text", "text": "A pelican."}]}}
            ]
        },
    ),
}


@contextmanager
def told(bodies: list[Any]) -> Iterator[web.Application]:
    """A server of others, which answers each turn with this."""

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response(bodies[0])

    app = web.Application()
    for path in PATHS.values():
        app.router.add_post(f"/v1{path}", answer)
    yield app


@pytest.mark.parametrize("shape", ODD)
async def test_replies_keep_the_shape_of_servers_of_others(front: ModelServer, path: Path, shape: str) -> None:
    api, body = ODD[shape]
    bodies = [body]
    with told(bodies) as app:
        async with listening(app) as url:
            tape = Tape(front, path, Upstream(f"{url}/v1/"))
            async with tape.run(api, "once") as provider:
                first = await conversation(provider, *STEPS[:2])
    async with tape.run(api, "none") as provider:
        second = await conversation(provider, *STEPS[:2])
    assert [each.text for each in first] == [each.text for each in second] == 2 * ["A pelican."]
    assert len(bodies) == 3
    assert "A pelican." in json.dumps(bodies[2]), "the second question came with the first answer"
