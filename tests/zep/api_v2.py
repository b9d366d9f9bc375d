"""The stand-in's `/api/v2`."""

from typing import Any

from aiohttp import web

from tests.zep.api import Api, Refused, best_edges, best_episodes
from tests.zep.store import Episode, Message, Thread, User

BASE = "/api/v2"
USER = frozenset({"metadata", "email", "first_name", "last_name", "time_zone", "disable_default_ontology"})
ADDING = frozenset({"ignore_roles", "return_context", "strict_ontology"})
SEARCH = frozenset(
    {"bfs_origin_node_uuids", "center_node_uuid", "graph_id", "limit", "max_characters", "mmr_lambda", "reranker"}
    | {"return_raw_results", "scope", "search_filters", "user_id"}
)


class V2Api(Api):
    """Ids are the client's. A thread cannot be read by itself: 405."""

    also = frozenset({"uuid", "processed"})

    def register(self, app: web.Application) -> None:
        episode = f"{BASE}/graph/episodes/{{id}}"
        app.router.add_routes(
            [
                web.post(f"{BASE}/users", self.add_user),
                web.get(f"{BASE}/users/{{id}}", self.get_user),
                web.delete(f"{BASE}/users/{{id}}", self.delete_user),
                web.get(f"{BASE}/users/{{id}}/threads", self.threads_of),
                web.get(f"{BASE}/threads", self.list_threads),
                web.post(f"{BASE}/threads", self.add_thread),
                web.delete(f"{BASE}/threads/{{id}}", self.delete_thread),
                web.get(f"{BASE}/threads/{{id}}/messages", self.list_messages),
                web.post(f"{BASE}/threads/{{id}}/messages", self.add_messages),
                web.get(f"{BASE}/threads/{{id}}/episodes", self.episodes_of),
                web.post(f"{BASE}/graph/search", self.search),
                web.get(episode, self.get_episode),
                web.delete(episode, self.delete_episode),
            ]
        )

    async def add_user(self, request: web.Request) -> web.Response:
        said = await self.body(request, "user_id", may=USER)
        if self.store.user(said["user_id"]) is not None:
            raise Refused(self.zep.exists, "user already exists")
        return web.json_response(_user(self.zep.add_user(said["user_id"], self.metadata(said))), status=201)

    async def get_user(self, request: web.Request) -> web.Response:
        return web.json_response(_user(self.user_or_404(request.match_info["id"])))

    async def delete_user(self, request: web.Request) -> web.Response:
        user = self.user_or_404(request.match_info["id"])
        self.zep.delete(user, lambda: self.store.drop_user(user))
        return web.json_response({"message": "user deleted"})

    async def threads_of(self, request: web.Request) -> web.Response:
        user = self.user_or_404(request.match_info["id"])
        return web.json_response([_thread(each) for each in self.store.threads if each.user is user])

    async def list_threads(self, request: web.Request) -> web.Response:
        size = int(request.query.get("page_size", 10))
        shown = [_thread(each) for each in self.store.threads][:size]
        said = {"threads": shown, "response_count": len(shown), "total_count": len(self.store.threads)}
        return web.json_response(said)

    async def add_thread(self, request: web.Request) -> web.Response:
        said = await self.body(request, "thread_id", "user_id")
        user = self.user_or_404(said["user_id"])
        if self.store.thread(said["thread_id"]) is not None:
            raise Refused(self.zep.exists, "thread already exists")
        thread = Thread(user, said["thread_id"])
        self.store.threads.append(thread)
        return web.json_response(_thread(thread), status=201)

    async def delete_thread(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        self.zep.delete(thread, lambda: self.store.drop_thread(thread))
        return web.json_response({"message": "thread deleted"})

    async def list_messages(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        shown = [each for each in thread.messages if each.shown]
        if "lastn" in request.query:
            rows = shown[-int(request.query["lastn"]) :]
        else:
            begin, size = int(request.query.get("cursor", 0)), int(request.query.get("limit", 50))
            rows = shown[begin : begin + size]
        said = {"messages": [_message(each) for each in rows], "row_count": len(rows), "total_count": len(shown)}
        return web.json_response({**said, "user_id": thread.user.user_id, "thread_created_at": thread.created_at})

    async def add_messages(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        messages = self.messages(await self.body(request, "messages", may=ADDING))
        self.store.write(thread, messages)
        return web.json_response({"message_uuids": [each.uuid for each in messages]})

    async def episodes_of(self, request: web.Request) -> web.Response:
        thread = self.thread_or_404(request.match_info["id"])
        found = [_episode(each) for each in thread.user.episodes if each.thread is thread]
        return web.json_response({"episodes": found})

    async def search(self, request: web.Request) -> web.Response:
        said = await self.body(request, "query", may=SEARCH)
        if not said["query"] or len(said["query"]) > 400 or "user_id" not in said:
            raise Refused(400, "query: 1 to 400 characters")
        user, most = self.user_or_404(said["user_id"]), said.get("limit", 10)
        if said.get("scope", "edges") == "edges":
            return web.json_response({"edges": [_edge(*each) for each in best_edges(user, said["query"])[:most]]})
        return web.json_response({"episodes": [_episode(each) for each in best_episodes(user, said["query"])[:most]]})

    async def get_episode(self, request: web.Request) -> web.Response:
        return web.json_response(_episode(self._episode_or(400, request)))

    async def delete_episode(self, request: web.Request) -> web.Response:
        episode = self._episode_or(404, request)
        self.zep.delete(episode, lambda: self.store.drop_episode(episode))
        return web.json_response({"message": "episode deleted"})

    def _episode_or(self, status: int, request: web.Request) -> Episode:
        if (episode := self.store.episode(request.match_info["id"])) is None:
            raise Refused(status, "episode not found")
        found: Episode = episode
        return found


def _user(user: User) -> dict[str, Any]:
    own = {"uuid": user.uuid, "user_id": user.user_id, "metadata": user.metadata, "graph_uuid": user.graph}
    return {**own, "created_at": user.created_at}


def _thread(thread: Thread) -> dict[str, Any]:
    own = {"uuid": thread.uuid, "thread_id": thread.thread_id, "user_id": thread.user.user_id}
    return {**own, "created_at": thread.created_at}


def _message(message: Message) -> dict[str, Any]:
    own = {"uuid": message.uuid, "role": message.role, "content": message.content, "metadata": message.metadata}
    return {**own, "name": message.name, "created_at": message.at, "processed": message.processed}


def _episode(episode: Episode) -> dict[str, Any]:
    message = episode.message
    own = {"uuid": message.uuid, "content": message.content, "metadata": message.metadata, "processed": True}
    return {**own, "created_at": message.at, "source": "message", "thread_id": episode.thread.thread_id}


def _edge(episode: Episode, name: str, text: str) -> dict[str, Any]:
    ends = {"source_node_uuid": "0" * 8, "target_node_uuid": "1" * 8, "name": "SAYS"}
    own = {"uuid": name, "fact": text, "episodes": [episode.message.uuid], "created_at": episode.message.at}
    return {**own, **ends, "expired_at": None, "invalid_at": None}
