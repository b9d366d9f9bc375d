"""A BPMN engine over its REST API: tasks, results and variables, definitions, and the topics to poll for."""

from worker.engine.client import RestEngine
from worker.engine.deployments import NotDeployed
from worker.engine.identity import Auth, Basic, Bearer, OAuthClient
from worker.engine.info import EngineInfo
from worker.engine.instances import RestInstances, ThreadTrace
from worker.engine.kept import Kept
from worker.engine.receivers import RestReceivers
from worker.engine.runs import MaybeStarted
from worker.engine.sources import RestSources
from worker.engine.topics import Discovery, FixedTopics, HandlerTopics, NotServed, Survey
from worker.engine.transport import Connection

__all__ = [
    "Auth",
    "Basic",
    "Bearer",
    "Connection",
    "Discovery",
    "EngineInfo",
    "FixedTopics",
    "HandlerTopics",
    "Kept",
    "MaybeStarted",
    "NotDeployed",
    "NotServed",
    "OAuthClient",
    "RestEngine",
    "RestInstances",
    "RestReceivers",
    "RestSources",
    "Survey",
    "ThreadTrace",
]
