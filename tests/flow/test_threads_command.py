"""`assistant-worker threads …` and `transcript search`, as operators run them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.flow import command
from tests.flow.command import Ran, environment
from tests.flow.rig import Rig
from tests.models import Model, call, line, process
from tests.waiting import wait_until
from worker.transcript import SqlTranscriptWriter, open_database


async def assistant_worker(rig: Rig, *arguments: str, **settings: object) -> Ran:
    return await command.assistant_worker(environment(rig, **settings), *arguments)


async def ran(rig: Rig, model: Model, **options: Any) -> str:
    """An instance that ran to its end and is recorded."""
    instance = await rig.run(model, **options)

    async def settled() -> bool:
        async with rig.redis() as redis:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

    await wait_until(settled, what="the outbox to be empty")
    return instance


async def running(rig: Rig) -> str:
    """An instance that waits at its second step."""
    model = await rig.deploy(rig.step("frame", data_input="-"), rig.step("decide", topic=rig.topic + "_later"))
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "decide")
    return instance


async def test_list_names_threads_and_says_whose_process_is_over(kept: Rig) -> None:
    await kept.start_worker()
    over = await ran(kept, await kept.deploy(kept.step("frame", data_input="-")))
    alive = await running(kept)

    listed = await assistant_worker(kept, "threads", "list", "--json")
    table = await assistant_worker(kept, "threads", "list", "--ended")

    assert (listed.code, table.code) == (0, 0)
    rows = {row["scope"]: row for row in listed.json}
    assert {scope: row["state"] for scope, row in rows.items()} == {over: "ended", alive: "runs"}
    assert (rows[over]["assistant"], rows[over]["generation"], rows[over]["turns"]) == ("analyst", 1, 1)
    assert rows[over]["thread"] in kept.provider.conversations()
    assert over in table.out
    assert alive not in table.out
    assert "Please do" not in listed.out + table.out, "no message text where nobody asked for it"


async def test_list_works_while_the_engine_is_away(kept: Rig, unused_tcp_port: int) -> None:
    await kept.start_worker()
    await ran(kept, await kept.deploy(kept.step("frame", data_input="-")))

    listed = await assistant_worker(
        kept, "threads", "list", "--json", engine_url=f"http://127.0.0.1:{unused_tcp_port}/engine-rest"
    )

    assert listed.code == 0
    assert [row["state"] for row in listed.json] == ["unknown"]


async def test_show_export_and_search_give_the_text(kept: Rig, tmp_path: Path) -> None:
    kept.provider.answer(".", "Lithium \x1b[31mbattery [bold]pack[/bold].")
    await kept.start_worker()
    instance = await ran(kept, await kept.deploy(kept.step("frame", data_input="-")), business_key="order 7")

    shown = await assistant_worker(kept, "threads", "show", instance)
    exported = await assistant_worker(kept, "threads", "export", "--business-key", "order 7")
    file = tmp_path / "order.md"
    written = [
        await assistant_worker(kept, "threads", "export", instance, "--format", "markdown", "--output", str(file))
        for _ in range(2)
    ]
    found = await assistant_worker(kept, "transcript", "search", "LITHIUM", "pac", "--json")
    table = await assistant_worker(kept, "transcript", "search", "lithium", "--assistant", "analyst")
    nothing = await assistant_worker(kept, "transcript", "search", "lithium", "--instance", "another")

    assert [each.code for each in (shown, exported, found, table, nothing)] == [0] * 5
    assert "Please do frame." in shown.out
    assert "battery [bold]pack[/bold]." in shown.out
    assert "\x1b[31m" not in shown.out + table.out, "what a model says does nothing to a terminal"
    assert len(exported.json[0]["messages"]) == 2
    assert "Please do frame." in file.read_text(encoding="utf-8")
    assert [each.code for each in written] == [0, 2], "nothing is overwritten"
    assert [hit["process_instance_id"] for hit in found.json] == [instance]
    assert instance in table.out
    assert "Nothing was found" in nothing.out


async def test_erase_refuses_what_runs_and_gives_a_receipt_for_what_is_over(kept: Rig) -> None:
    await kept.start_worker()
    instance = await ran(kept, await kept.deploy(kept.step("frame", data_input="-")))
    alive = await running(kept)

    refused = await assistant_worker(kept, "threads", "erase", alive, "--yes")
    kept.provider.fault("items.*", times=None, reply="overloaded")
    begun = await assistant_worker(kept, "threads", "erase", instance, "--yes")
    kept.provider.clear_faults()
    done = await assistant_worker(kept, "threads", "erase", "--open", "--json")
    receipt = await assistant_worker(kept, "threads", "erase", "--receipt", done.json[0]["id"])
    gone = await assistant_worker(kept, "threads", "show", instance)

    assert (refused.code, "still runs" in refused.err) == (2, True)
    assert begun.code == 3
    assert "tried again" in begun.out
    assert (done.code, done.json[0]["instance"]) == (0, instance)
    assert receipt.code == 0
    for store in ("provider", "redis", "transcript", "engine"):
        assert store in receipt.out
    assert "Complete since" in receipt.out
    assert gone.code == 2
    states = sorted(each["deleted"] for each in kept.provider.conversations().values())
    assert states == [False, True], "the running one's is there"


async def test_erase_ended_lists_first_and_does_then(kept: Rig) -> None:
    kept.settings["retention_threads_days"] = 0
    await kept.start_worker()
    instance = await ran(kept, await kept.deploy(kept.step("frame", data_input="-")))

    dry = await assistant_worker(kept, "threads", "erase", "--ended", "--dry-run", "--json")
    assert [each["scope"] for each in dry.json["threads"]] == [instance]
    [conversation] = kept.provider.conversations()
    assert not kept.provider.conversations()[conversation]["deleted"]
    done = await assistant_worker(kept, "threads", "erase", "--ended", "--yes")

    assert (dry.code, done.code) == (0, 0)
    assert conversation in done.out
    assert kept.provider.conversations()[conversation]["deleted"]


async def test_repair_lists_queued_runs_and_cancels_them_on_request(kept: Rig) -> None:
    text = '---\nname: slow\nversion: "1.0"\nmodel: gpt-5-mini\nbackground: true\n---\nYou are slow.\n'
    (kept.folder / "slow@1.0.md").write_text(text)
    kept.provider.fault("responses.create", queued=600)
    worker = await kept.start_worker()
    model = await kept.deploy(kept.step("frame", "slow", data_input="-"))
    instance = await kept.rest.start(model)

    async def noted() -> bool:
        async with kept.redis() as redis:
            turns = [name async for name in redis.scan_iter("*:turn:*")]
            return any([await redis.hget(name, "response") for name in turns])

    await wait_until(noted, what="the run to be noted")
    await worker.kill()

    listed = await assistant_worker(kept, "threads", "repair", "--json")
    cancelled = await assistant_worker(kept, "threads", "repair", "--cancel")
    again = await assistant_worker(kept, "threads", "repair")

    assert [each.code for each in (listed, cancelled, again)] == [0, 0, 0]
    assert [(each["scope"], each["assistant"], each["status"]) for each in listed.json] == [
        (instance, "slow", "queued")
    ]
    assert "cancelled" in cancelled.out
    assert kept.calls("responses.cancel") == 1
    assert "No turn is stuck" in again.out


@pytest.mark.parametrize(
    ("arguments", "settings", "code"),
    [
        (["threads", "erase"], {}, 2),
        (["threads", "erase", "i", "--dry-run"], {}, 2),
        (["threads", "erase", "i"], {}, 2),
        (["threads", "erase", "i", "--issuer", "https://id.example", "--yes"], {}, 2),
        (["threads", "erase", "--person", "ann", "--force", "--yes"], {}, 2),
        (["threads", "repair", "--account-changed"], {}, 2),
        (["threads", "erase", "--receipt", "4711"], {}, 2),
        (["threads", "show", "nobody"], {}, 2),
        (["threads", "show", "nobody"], {"transcript_url": "sqlite:///no/record.db"}, 1),
        (["threads", "erase", "--ended", "--dry-run"], {"transcript_url": "sqlite:///no/record.db"}, 1),
        (["threads", "show", "i"], {"transcript_url": "off"}, 2),
        (["threads", "list"], {"redis_url": "redis://127.0.0.1:1/0"}, 1),
        (["threads", "erase", "i", "--yes"], {"redis_url": "redis://127.0.0.1:1/0"}, 1),
        (["transcript", "search", "x", "--limit", "0"], {}, 2),
    ],
)
async def test_what_cannot_be_done_is_said_with_an_exit_code(
    kept: Rig, arguments: list[str], settings: dict[str, object], code: int
) -> None:
    async with open_database(kept.settings["transcript_url"]) as database:
        await SqlTranscriptWriter(database).ping()  # a record that has nothing
    done = await assistant_worker(kept, *arguments, **settings)

    assert done.code == code
    assert done.err.strip()
    assert "Traceback" not in done.err


async def test_help_has_an_example_and_the_exit_codes(kept: Rig) -> None:
    for arguments in (["threads", "list"], ["threads", "repair"], ["transcript", "search"], ["transcript", "cost"]):
        done = await assistant_worker(kept, *arguments, "--help")
        assert f"Example:  assistant-worker {' '.join(arguments)}" in done.out
        assert "Exit codes:" in done.out


async def test_commands_beside_a_worker_cost_no_turn_and_leave_its_file_whole(kept: Rig, tmp_path: Path) -> None:
    model = await kept.deploy(kept.step("frame", data_input="-"))
    async with command.started(kept) as worker:
        port = worker.lines("worker_started")[0]["api_port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as page:

            async def reads() -> int:
                async with page.get("/api/sessions") as reply:
                    return reply.status

            async def turns(count: int) -> list[str]:
                """Turns that are written while the page reads, so that several connections are used."""
                *found, statuses = await asyncio.gather(
                    *(ran(kept, model) for _ in range(count)), asyncio.gather(*(reads() for _ in range(20)))
                )
                assert set(statuses) == {200}
                return [str(each) for each in found]

            instances = await turns(4)
            assert (await assistant_worker(kept, "transcript", "search", "please")).code == 0
            instances += await turns(4)
            erased = instances.pop()
            assert (await assistant_worker(kept, "threads", "erase", erased, "--yes")).code == 0
            assert (await assistant_worker(kept, "threads", "show", erased)).code == 2
            instances += await turns(4)
        await asyncio.to_thread(worker.stop)
        assert worker.lines("worker_stopped")

    with closing(sqlite3.connect(tmp_path / "transcript.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for instance in instances:
        assert (await assistant_worker(kept, "threads", "show", instance)).code == 0
    assert (await assistant_worker(kept, "threads", "show", erased)).code == 2


async def test_what_a_key_cannot_see_is_closed_or_made_anew_on_a_persons_word(kept: Rig) -> None:
    kept.provider.accounts["another"] = "another"
    await kept.start_worker()
    over = await ran(kept, await kept.deploy(kept.step("frame", data_input="-")))
    [anchor] = kept.provider.anchors()

    tried = await assistant_worker(kept, "threads", "erase", over, "--yes", openai_api_key="another")
    assert tried.code == 3
    assert "cannot be seen with this key" in " ".join(tried.out.split())
    closed = await assistant_worker(
        kept, "threads", "erase", "--open", "--accept-absent", "--yes", openai_api_key="another"
    )
    assert closed.code == 0
    assert "accepted as gone" in " ".join(closed.out.split())

    left = await assistant_worker(
        kept, "threads", "repair", "--account-changed", "--yes", "--json", openai_api_key="another"
    )
    assert left.code == 0
    assert [each["id"] for each in left.json["left"]] == [anchor]
    again = await assistant_worker(kept, "threads", "repair", "--account-changed", "--yes", openai_api_key="another")
    assert (again.code, left.json["current"] in again.out) == (0, True)


async def test_export_has_what_was_said_in_called_processes(kept: Rig) -> None:
    child = await kept.deploy(kept.step("rate", data_input="-"))
    parent = process(line(call("call_it", child)))
    await kept.rest.deploy(parent)
    await kept.start_worker()
    instance = await ran(kept, parent, business_key="order 7")
    exported = [
        await assistant_worker(kept, "threads", "export", *whose)
        for whose in ([instance], ["--business-key", "order 7"])
    ]
    assert [[part["process"] for part in each.json] for each in exported] == [[child.key], [child.key]]
    assert exported[0].json[0]["called_by"] == instance
