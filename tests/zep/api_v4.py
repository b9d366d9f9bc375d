"""The stand-in's `/api/v4`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from aiohttp import web

from tests.zep.api import Api, Refused, best_edges, best_episodes
from tests.zep.store import Episode, Message, Thread, User, now

BASE = "/api/v4"
USER = frozenset(
    {"user_id", "metadata", "email", "first_name", "last_name", "time_zone", "disable_default_ontology"}
    | {"content_policy"}
)
ADDING = frozenset({"ignore_roles", "return_context", "strict_ontology"})
LOOKUP = frozenset({"graph_id", "thread_id", "user_id"})
SEARCH = frozenset(
    {"bfs_origin_node_uuids", "center_node_uuid", "filter_low_quality_results", "filters", "mmr_lambda", "reranker"}
)

T = TypeVar("T")


class V4Api(Api):
    """Ids are the server's. What is written and deleted is accepted, and done later."""

    time = "reference_time"

    def register(self, app: web.Application) -> None:
        graph = f"{BASE}/graphs/{{graph}}"
        app.router.add_routes(
            [
                web.post(f"{BASE}/users", self.add_user),
                web.post(f"{BASE}/users/lookup", self.look_up),
                web.get(f"{BASE}/users/{{id}}", self.get_user),
                web.delete(f"{BASE}/users/{{id}}", self.delete_user),
                web.get(f"{BASE}/threads", self.list_threads),
                web.post(f"{BASE}/threads", self.add_thread),
                web.get(f"{BASE}/threads/{{id}}", self.get_thread),
                web.delete(f"{BASE}/threads/{{id}}", self.delete_thread),
                web.get(f"{BASE}/threads/{{id}}/messages", self.list_messages),
                web.post(f"{BASE}/threads/{{id}}/messages", self.add_messages),
                web.get(f"{BASE}/threads/{{id}}/episodes", self.episodes_of),
                web.post(f"{graph}/search/edges", self.search_edges),
                web.post(f"{graph}/search/episodes", self.search_episodes),
                web.get(f"{graph}/episodes/{{id}}", self.get_episode),
                web.delete(f"{graph}/episodes/{{id}}", self.delete_episode),
            ]
        )

    async def add_user(self, request: web.Request) -> web.Response:
        said = await self.body(request, may=USER)
        if said.get("user_id") is not None and self.store.user(said["user_id"]) is not None:
            raise Refused(409, "user_id is taken")
        return web.json_response(_user(self.zep.add_user(said["user_id"], self.metadata(said))), status=201)

    async def look_up(self, request: web.Request) -> web.Response:
        said = await self.body(request, may=LOOKUP)
        return web.json_response(_user(self.user_or_404(said.get("user_id", ""))))

    async def get_user(self, request: web.Request) -> web.Response:
        return web.json_response(_user(self._user(request.match_info["id"])))

    async def delete_user(self, request: web.Request) -> web.Response:
        user = self._user(request.match_info["id"])
        return self._deleting(user, lambda: self.store.drop_user(user))

    async def list_threads(self, request: web.Request) -> web.Response:
        wanted = request.query.get("user_uuid")
        if wanted is not None:
            self._user(wanted)
        found = [each for each in self.store.threads if wanted in {None, each.user.uuid}]
        return _page(request, found, _thread)

    async def add_thread(self, request: web.Request) -> web.Response:
        said = await self.body(request, "user_uuid")
        thread = Thread(self._user(said["user_uuid"]))
        self.store.threads.append(thread)
        return web.json_response(_thread(thread), status=201)

    async def get_thread(self, request: web.Request) -> web.Response:
        return web.json_response(_thread(self.thread_or_404(request.match_info["id"])))

    async def delete_thread(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        return self._deleting(thread, lambda: self.store.drop_thread(thread))

    async def list_messages(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        shown = [each for each in thread.messages if each.shown]
        if request.query.get("order", "asc") == "desc":
            shown.reverse()
        return _page(request, shown, lambda each: _message(thread, each))

    async def add_messages(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        messages = self.messages(await self.body(request, "messages", may=ADDING))
        self.store.write(thread, messages)
        said = {"messages": [_message(thread, each) for each in messages], "task": _task("add_messages")}
        return web.json_response(said, status=202)

    async def episodes_of(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        return _page(request, [each for each in thread.user.episodes if each.thread is thread], _episode)

    async def search_edges(self, request: web.Request) -> web.Response:
        user, query = await self._search(request)
        return _page(request, best_edges(user, query), lambda each: _edge(*each))

    async def search_episodes(self, request: web.Request) -> web.Response:
        user, query = await self._search(request)
        return _page(request, best_episodes(user, query), _episode)

    async def get_episode(self, request: web.Request) -> web.Response:
        return web.json_response(_episode(self._episode(request)))

    async def delete_episode(self, request: web.Request) -> web.Response:
        episode = self._episode(request)
        return self._deleting(episode, lambda: self.store.drop_episode(episode))

    def _user(self, uuid: str) -> User:
        user = self.user_or_404(uuid)
        if user.uuid != uuid:
            raise Refused(400, "no uuid")
        return user

    def _graph(self, request: web.Request) -> User:
        found = [each for each in self.store.users if each.graph == request.match_info["graph"]]
        if not found:
            raise Refused(404, "graph not found")
        user: User = found[0]
        return user

    def _episode(self, request: web.Request) -> Episode:
        user, name = self._graph(request), request.match_info["id"]
        for each in user.episodes:
            if each.message.uuid == name:
                return each
        raise Refused(404, "episode not found")

    async def _search(self, request: web.Request) -> tuple[User, str]:
        said = await self.body(request, "query", may=SEARCH)
        if not said["query"] or len(said["query"]) > 400:
            raise Refused(400, "query: 1 to 400 characters")
        return self._graph(request), said["query"]

    def _deleting(self, what: object, drop: Callable[[], None]) -> web.Response:
        if not self.zep.delete(what, drop):
            raise Refused(409, "it is being deleted")
        return web.json_response({"task": _task("delete")}, status=202)


def _page(request: web.Request, rows: Sequence[T], shown: Callable[[T], dict[str, Any]]) -> web.Response:
    begin, size = int(request.query.get("cursor", 0)), int(request.query.get("page_size", 20))
    end = begin + size
    said: dict[str, Any] = {"items": [shown(each) for each in rows[begin:end]], "total_size": len(rows)}
    return web.json_response({**said, "next_cursor": str(end)} if end < len(rows) else said)


def _task(kind: str) -> dict[str, Any]:
    return {"uuid": str(uuid4()), "type": kind, "status": "pending", "created_at": now()}


def _user(user: User) -> dict[str, Any]:
    own = {"uuid": user.uuid, "user_id": user.user_id, "metadata": user.metadata, "graph_uuid": user.graph}
    return {**own, "created_at": user.created_at}


def _thread(thread: Thread) -> dict[str, Any]:
    own = {"uuid": thread.uuid, "user_uuid": thread.user.uuid, "graph_uuid": thread.user.graph}
    return {**own, "created_at": thread.created_at}


def _message(thread: Thread, message: Message) -> dict[str, Any]:
    own = {"uuid": message.uuid, "role": message.role, "content": message.content, "metadata": message.metadata}
    times = {"created_at": message.received, "reference_time": message.at, "processed": message.processed}
    return {**own, **times, "name": message.name, "thread_uuid": thread.uuid}


def _episode(episode: Episode) -> dict[str, Any]:
    message, thread = episode.message, episode.thread
    own = {"uuid": message.uuid, "content": message.content, "metadata": message.metadata, "processed": True}
    times = {"created_at": message.received, "reference_time": message.at, "source": "message"}
    return {**own, **times, "thread_uuid": thread.uuid, "graph_uuid": thread.user.graph, "role": message.role}


def _edge(episode: Episode, name: str, text: str) -> dict[str, Any]:
    own = {"uuid": name, "fact": text, "episode_uuids": [episode.message.uuid], "name": "SAYS"}
    return {**own, "created_at": episode.message.received, "graph_uuid": episode.thread.user.graph}
