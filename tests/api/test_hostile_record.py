"""A record full of odd answers, over HTTP: every view and every file of it comes."""

import json
from pathlib import Path

import aiohttp

from tests.api.client import Api
from tests.page.site import Deployed, site
from tests.records import exchange, key

ODD = {
    "deep data": "[" * 900,
    "deep data that ends": "[" * 900 + "]" * 900,
    "deep objects": '{"a":' * 400 + "1" + "}" * 400,
    "half a character": '{"\\ud800": ["\\udfff"]}',
    "a half as it is": "\ud800",
    "numbers": f"[{','.join('0' * 90_000)}]",
    "one field each": json.dumps([{chr(97 + number % 12): 1} for number in range(16_000)]),
    "one line": "x" * 400_000,
    "control characters": "".join(map(chr, range(32))) * 500,
    "direction": "\u202egnp.exe \u2066",
    "quotes": "> " * 900 + "inside",
    "eight megabytes": "word " * 1_600_000,
}


async def test_every_view_of_every_answer_comes_and_innocent_ones_with_it(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed("<definitions/>", {})) as served:
        for number, text in enumerate(ODD.values()):
            await served.transcript.record(exchange(2 * number, key("odd"), answer=text))
            await served.transcript.record(exchange(2 * number + 1, key("odd"), answer="An innocent answer."))
        async with aiohttp.ClientSession(served.url) as session:
            api, after, said = Api(session, None), "", []
            while True:
                page = await api.get(f"/api/instances/odd/thread?limit=200{after and f'&after={after}'}")
                assert page.status == 200
                said += [each["message"]["content"] for each in page.json["items"]]
                if (after := page.json["next"] or "") == "":
                    break
            [one] = (await api.get("/api/sessions?instance=odd")).json["items"]
            views = [
                await api.get(path)
                for path in (
                    f"/api/sessions/{one['id']}/thread",
                    f"/api/sessions/{one['id']}/messages?newest=true",
                    "/api/instances/odd/messages",
                    "/api/instances/odd/activities",
                    "/api/search?q=innocent",
                    "/api/search?q=word",
                    f"/api/sessions/{one['id']}/export",
                    "/api/instances/odd/export?format=markdown",
                )
            ]
        assert [view.status for view in views] == [200] * len(views)
        assert said.count("An innocent answer.") == len(ODD)
        assert len(said) == 4 * len(ODD)
        assert len(views[-2].json[0]["messages"]) == 4 * len(ODD)
        assert served.errors == []
