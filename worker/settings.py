"""Every setting: read once at the edge, checked as a whole, frozen."""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from worker.domain import deployed
from worker.domain.addresses import RedisAddress, split_http
from worker.errors import Permanent
from worker.modelling import redaction
from worker.runtime.certificates import show_certificate
from worker.runtime.secret_file import read_secret


class _InFile(str):
    """A secret that stood in a file, or why it could not be read."""

    __slots__ = ("flaw", "path")

    path: str
    flaw: str

    def __new__(cls, path: str, text: str = "", flaw: str = "") -> Self:
        """Be the text."""
        made = super().__new__(cls, text)
        made.path, made.flaw = path, flaw
        return made


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads `<SETTING>_FILE` for each setting that is or holds a secret."""

    def __init__(self, settings_cls: type[BaseSettings], *named: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._named = named
        """What the other sources have, the one that wins first."""

    def __call__(self) -> dict[str, Any]:
        """Return what was read, by the settings' names."""
        return {name: self._read(name, path) for name in SECRETS if (path := self._first(f"{name}_file"))}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Of the base class; not used, as all are read at once."""
        raise NotImplementedError(field, field_name)

    def _first(self, name: str) -> str:
        return next((str(each[name]) for each in self._named if str(each.get(name) or "").strip()), "")

    def _read(self, name: str, path: str) -> _InFile:
        if self._first(name):
            return _InFile(path, flaw=f"cannot be combined with {name.upper()}; set one or the other")
        try:
            text = read_secret(Path(path))
        except ValueError as exc:
            return _InFile(path, flaw=str(exc))
        if not text.strip():
            return _InFile(path, flaw=f"is empty; write the secret into it, or leave {name.upper()}_FILE out")
        return _InFile(path, text)


class Settings(BaseSettings):
    """What can be set, by its name in capitals, in the environment or in `.env` of the working directory.

    The environment wins; an empty value counts as not set. What is or holds a secret may stand in a file that
    `<SETTING>_FILE` names. Building it raises pydantic's ValidationError with all mistakes at once: `read` is the way
    in that speaks to people. The descriptions are the text of `.env.example`.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",  # a .env is shared with other programs
        frozen=True,
        hide_input_in_errors=True,  # an input may be a secret
    )

    engine_url: str = Field("http://localhost:8080/engine-rest", description="The engine's REST API.")
    engine_name: str = Field(
        "default", description="Name of this engine in keys and threads; keeps two engines on one Redis apart."
    )
    engine_user: str | None = Field(None, description="Basic authentication, together with ENGINE_PASSWORD.")
    engine_password: SecretStr | None = Field(None, description="Basic authentication, together with ENGINE_USER.")
    engine_token: SecretStr | None = Field(None, description="Bearer authentication, instead of a user.")
    engine_token_url: str | None = Field(
        None, description="Token endpoint of an OAuth2 server, for tokens by client credentials, instead of a user."
    )
    engine_client_id: str | None = Field(None, description="The worker's name at ENGINE_TOKEN_URL.")
    engine_client_secret: SecretStr | None = Field(None, description="The worker's secret at ENGINE_TOKEN_URL.")
    engine_scope: str | None = Field(
        None, description="Scopes to ask for at ENGINE_TOKEN_URL, separated by spaces, if it wants that said."
    )
    engine_audience: str | None = Field(
        None, description="Audience to ask for at ENGINE_TOKEN_URL, if it wants that said."
    )
    engine_ca_file: Path | None = Field(
        None, description="PEM file with the authorities to trust for the engine, instead of the system's."
    )
    engine_key_file: Path | None = Field(
        None, description="PEM file with the private key of ENGINE_CERT_FILE, if it is not in the same file."
    )
    engine_cert_file: Path | None = Field(
        None, description="PEM file with the certificate that is shown to an engine that wants to see one (mTLS)."
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey: redis://[user:password@]host:6379/0 or unix:///path?db=0; "
        "redis+sentinel://host1:26379,host2:26379/service/0; redis+cluster://host1:6379,host2:6379; "
        "rediss… in place of redis… for TLS.",
    )
    redis_ca_file: Path | None = Field(
        None, description="PEM file with the authorities to trust for Redis, instead of the system's."
    )
    redis_prefix: str = Field("assistant-worker", description="First part of every key in Redis.")

    transcript_url: SecretStr = Field(
        SecretStr("sqlite:///transcript.db"),
        description="Where conversations are kept: sqlite:///path for one worker, postgresql://… for several; or off.",
    )

    memory: Literal["off", "embedded", "zep"] = Field(
        "off",
        description="Where what tasks with memory.subject remember is kept: off; embedded, in the transcript's "
        "database; or zep, in Zep Cloud.",
    )
    memory_redact: str = Field(
        "email,iban,card,phone",
        description="What is taken out before it is remembered, by these names and by patterns as name=regex; or none.",
    )
    memory_shared: bool = Field(
        default=False, description="true: engines on one transcript share what they remember of the same subject."
    )

    zep_api_key: SecretStr | None = Field(
        None, description="Key of the project in Zep Cloud; with MEMORY=zep.", validate_default=True
    )
    zep_api: Literal["v2", "v4"] = Field("v4", description="Which API of Zep's that project is used by: v2 or v4.")
    zep_url: str = Field("https://api.getzep.com", description="Another address of Zep's, without /api.")

    openai_api_key: SecretStr | None = Field(None, description="Key of the provider `openai`.")
    openai_base_url: str | None = Field(
        None, description="Another server that speaks OpenAI's Conversations and Responses."
    )

    providers_file: Path | None = Field(
        None,
        description="YAML file of providers, in place of the one that OPENAI_API_KEY and OPENAI_BASE_URL name.",
    )

    budgets_file: Path | None = Field(None, description="YAML file of budgets: what calls of models may take at most.")

    assistants_dir: Path = Field(Path("bpmn/assistants"), description="Folder with the assistants' specs.")
    deployed_assistants: str = Field(
        "off",
        description="What assistants whose specs are deployed with a process may ask: off, or provider/model=tokens of "
        "an answer, separated by commas, such as openai/gpt-5-mini=4000; with process=KEY and tenant=ID behind it only "
        "those that come with this process and answer tasks of this tenant, - for none.",
    )
    topics: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Topics to serve, separated by commas; empty finds them in the deployed models."
    )

    handlers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Functions for camunda-external-task-client-python3 that handle other topics: "
        "topic=package.module:function, separated by commas.",
    )
    handler_slots: int = Field(10, ge=1, le=1000, description="Functions of HANDLERS that run at the same time.")

    tenants: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Tenants to serve, separated by commas; - alone serves tasks without one; empty serves all."
    )

    max_tasks: int = Field(20, ge=1, le=1000, description="Turns at the same time.")
    chat_slots: int = Field(
        4, ge=0, le=1000, description="Questions of persons that are answered at the same time; 0 takes none."
    )
    chat_seconds: int = Field(
        60, ge=5, le=600, description="How long an answer to a person may take, for which a step may have to wait."
    )
    lock_seconds: int = Field(
        45, ge=10, le=600, description="Lock on a task, renewed when two thirds are over; 30 to 60 suits most."
    )
    poll_seconds: int = Field(
        10,
        ge=1,
        le=20,
        description="How long a poll waits at the engine, 1 to 20; an idle worker takes as long to stop.",
    )
    grace_seconds: int = Field(25, ge=1, le=3600, description="Time to finish turns on a stop; at least POLL_SECONDS.")
    discovery_seconds: int = Field(10, ge=1, le=3600, description="How often new deployments are looked for.")

    retries: int = Field(
        3, ge=1, le=100, description="Tries of a task before its incident, where the process does not say."
    )
    input_tokens: int = Field(
        20_000,
        ge=100,
        le=10_000_000,
        description="Room for what a task asks, and again for its variables, 4 bytes a token; "
        "declared ones beyond it are an incident.",
    )
    trouble_for_seconds: int = Field(
        3600,
        ge=0,
        le=604_800,
        description="How long trouble that is not a task's own may last before it costs the task a retry.",
    )

    thread_validation: Literal["strict", "optimistic"] = Field(
        "strict", description="strict: look at a thread before each reuse; optimistic: its use is the proof."
    )
    seed_tokens: int = Field(
        50_000,
        ge=0,
        le=10_000_000,
        description="Room for earlier turns on a thread that has to be recreated (4 bytes a token).",
    )
    thread_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="A thread is remembered for this many days after its last use, longer if its end is still to come.",
    )

    retention_threads_days: int | None = Field(
        30, description="Days after the end of a process instance until its threads are erased; 0: at once; or never."
    )
    retention_transcript_days: int | None = Field(
        365, description="Days after that end until RETENTION_TRANSCRIPT is done; 0: at once; or never."
    )
    retention_transcript: Literal["keep", "anonymise", "remove"] = Field(
        "keep",
        description="What is done to an ended transcript then: keep, anonymise, or remove (fully after its thread).",
    )

    chat_retention_days: int | None = Field(
        90, description="Days after its last message until what a person said beside all processes goes; or never."
    )
    decision_retention_days: int | None = Field(
        None,
        description="Days after the end of a process instance until its records of decisions are removed, reasons and "
        "all; never by default.",
    )

    health_host: str = Field(
        "127.0.0.1", description="Address of /livez, /readyz and /metrics; 0.0.0.0 in a container."
    )
    health_port: int = Field(
        8090, ge=0, le=65535, description="Port of /livez, /readyz and /metrics; 0 takes a free one."
    )

    api_host: str = Field("127.0.0.1", description="Address of the page and its API; others than this need API_TOKENS.")
    api_port: int = Field(8091, ge=0, le=65535, description="Port of the page and its API; 0 takes a free one.")
    api_tokens: SecretStr | None = Field(
        None,
        description='Who may do what over the API: JSON such as {"<token>": "operator", "<token>": {"role": "viewer", '
        '"tenants": ["a"]}}.',
    )
    oidc_issuer: str | None = Field(
        None,
        description="Address of an OpenID Connect issuer whose tokens say who somebody is, beside API_TOKENS or alone.",
    )
    oidc_audience: str | None = Field(None, description="The audience (aud) that tokens of OIDC_ISSUER must name.")
    oidc_roles: str | None = Field(
        None,
        description='What roles at OIDC_ISSUER allow: JSON such as {"<role>": "operator", "<role>": ["read", "ask"]}.',
    )
    oidc_roles_claim: str = Field(
        "roles", description="Claim with a person's roles; one inside of another as realm_access.roles."
    )
    oidc_tenants_claim: str | None = Field(
        None, description="Claim with the tenants whose conversations a person may see; without it those of all."
    )
    oidc_engine_user_claim: str | None = Field(
        None, description="Claim with who a person is in the engine, for API_ENGINE_RIGHTS."
    )
    oidc_client_id: str | None = Field(
        None, description="The page's name at OIDC_ISSUER, a public client; without it people bring their tokens."
    )
    oidc_scope: str = Field(
        "openid profile", description="Scopes that the page asks for at OIDC_ISSUER, separated by spaces."
    )
    oidc_ca_file: Path | None = Field(
        None, description="PEM file with authorities to trust for OIDC_ISSUER, beside the system's."
    )
    api_frames: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may show ours in a frame, such as Cockpit's, separated by commas."
    )

    api_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may use the API with a token (CORS), separated by commas."
    )

    api_engine_rights: bool = Field(
        default=False, description="true: people see what they may see in the engine, and nothing else."
    )

    record_service_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Users of the engine who complete tasks for others, separated by commas: in decision records their "
        "signatures are unproven.",
    )

    record_key: SecretStr | None = Field(
        None, description="Private Ed25519 key (PEM) that signs each row of decision records."
    )

    feed_most: int = Field(
        500, ge=0, le=10_000, description="People who may read along at this worker at once, each a feed."
    )
    feed_most_each: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Feeds of one person, or token, at all workers together; without tokens, of everybody at each.",
    )

    trace_propagation: Literal["given", "always"] = Field(
        "given",
        description="Whose trace is handed on to the provider and to the process: given, that of processes with a "
        "variable traceparent; always, that of every task.",
    )
    trace_content: Literal["off", "on"] = Field("off", description="on: spans hold what is asked and answered.")

    log_format: Literal["json", "console"] = Field(
        "json", description="Log lines for programs (json) or people (console)."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO",
        description="The least that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL. Libraries only warn, always.",
    )

    _secret_files: dict[str, Path] = PrivateAttr(default_factory=dict)

    @property
    def secret_files(self) -> Mapping[str, Path]:
        """The files that secrets were read from, by the settings' names in capitals."""
        return self._secret_files

    @property
    def lock(self) -> timedelta:
        """How long a task is locked before it is renewed."""
        return timedelta(seconds=self.lock_seconds)

    @property
    def poll(self) -> timedelta:
        """How long the engine may hold a poll that finds nothing."""
        return timedelta(seconds=self.poll_seconds)

    @property
    def grace(self) -> timedelta:
        """How long a stop may take."""
        return timedelta(seconds=self.grace_seconds)

    @property
    def served(self) -> frozenset[str | None] | None:
        """The tenants that are served, None among them those without one; None: all."""
        return frozenset(None if name == "-" else name for name in self.tenants) or None

    @property
    def chat(self) -> timedelta:
        """How long a call for a person may take."""
        return timedelta(seconds=self.chat_seconds)

    @property
    def discovery(self) -> timedelta:
        """Between two looks at what is deployed."""
        return timedelta(seconds=self.discovery_seconds)

    @property
    def trouble_for(self) -> timedelta:
        """From when on trouble of others counts as the task's own."""
        return timedelta(seconds=self.trouble_for_seconds)

    @property
    def thread_life(self) -> timedelta:
        """How long the map remembers a thread that nobody uses."""
        return timedelta(days=self.thread_days)

    @property
    def retention_threads(self) -> timedelta | None:
        """How long threads outlive their process; None: for ever."""
        return None if self.retention_threads_days is None else timedelta(days=self.retention_threads_days)

    @property
    def retention_record(self) -> timedelta | None:
        """How long the transcript stays as it is after the end of a process; None: for ever."""
        return None if self.retention_transcript_days is None else timedelta(days=self.retention_transcript_days)

    @property
    def retention_chats(self) -> timedelta | None:
        """How long conversations of persons beside all processes outlive their last message; None: for ever."""
        return None if self.chat_retention_days is None else timedelta(days=self.chat_retention_days)

    @property
    def retention_decisions(self) -> timedelta | None:
        """How long records of decisions outlive their process and their last change; None: for ever."""
        return None if self.decision_retention_days is None else timedelta(days=self.decision_retention_days)

    @property
    def keeps_transcript(self) -> bool:
        """Whether there is a transcript."""
        return self.transcript_url.get_secret_value().lower() != "off"

    @property
    def redis_address(self) -> str:
        """REDIS_URL as it may be shown: without credentials, and without the query, which may hold them too."""
        return RedisAddress.read(self.redis_url.get_secret_value()).shown

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder whose files are called as settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add files of secrets to pydantic's own sources."""
        named = (
            getattr(init_settings, "init_kwargs"),  # noqa: B009 - the base class has none of these
            getattr(env_settings, "env_vars"),  # noqa: B009
            getattr(dotenv_settings, "env_vars"),  # noqa: B009
        )
        return _SecretFiles(settings_cls, *named), init_settings, env_settings, dotenv_settings

    @model_validator(mode="wrap")
    @classmethod
    def _note_files(cls, values: dict[str, Any], build: ModelWrapValidatorHandler[Self]) -> Self:
        built = build(values)
        files = {name.upper(): Path(text.path) for name, text in values.items() if isinstance(text, _InFile)}
        built._secret_files.update(files)  # noqa: SLF001 - it is its own class
        return built

    @field_validator("*", mode="before")
    @classmethod
    def _could_be_read(cls, value: Any) -> Any:
        if isinstance(value, _InFile) and value.flaw:
            raise ValueError(value.flaw)
        return value

    @model_validator(mode="before")
    @classmethod
    def _drop_blank(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Secrets that come from files end with a line break more often than not.
        texts = {name: text.strip("\r\n") for name, text in values.items() if type(text) is str}
        return {name: value for name, value in (values | texts).items() if texts.get(name, "-").strip()}

    @field_validator("engine_url", "engine_token_url", "openai_base_url", "zep_url")
    @classmethod
    def _is_http_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        parts = split_http(value)
        if "@" in value:
            raise ValueError(f"must not carry credentials; set {_CREDENTIALS[str(info.field_name)]}")
        if parts is None:
            raise ValueError("must be an address that begins with http:// or https://")
        if parts.query or parts.fragment:
            raise ValueError("must end with its path, without ? or #")
        return value.strip().rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr) -> SecretStr:
        RedisAddress.read(value.get_secret_value())
        return value

    @field_validator("transcript_url")
    @classmethod
    def _is_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url.lower() != "off":
            from worker import transcript  # noqa: PLC0415 - SQL takes 25 MB, which who says off can spare

            try:
                transcript.address(url)
            except Permanent as exc:
                raise ValueError(f"{str(exc).removeprefix('TRANSCRIPT_URL: ')}, or off") from None  # it may quote it
        return value

    @field_validator("memory")
    @classmethod
    def _has_a_transcript(cls, value: str, info: ValidationInfo) -> str:
        url = info.data.get("transcript_url")
        if value != "off" and isinstance(url, SecretStr) and url.get_secret_value().lower() == "off":
            raise ValueError("needs a TRANSCRIPT_URL: what is to be remembered is noted with the transcript")
        return value

    @field_validator("zep_api_key")
    @classmethod
    def _is_there_for_zep(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("memory") == "zep":
            raise ValueError("is needed with MEMORY=zep: the key of a project in Zep Cloud")
        return value

    @field_validator("memory_redact")
    @classmethod
    def _can_be_redacted(cls, value: str) -> str:
        try:
            redaction.read(value)
        except Permanent as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("deployed_assistants")
    @classmethod
    def _says_what_is_allowed(cls, value: str) -> str:
        try:
            deployed.allowed(value)
        except Permanent as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("engine_name", "redis_prefix")
    @classmethod
    def _is_plain(cls, value: str, info: ValidationInfo) -> str:
        # Colons separate the parts of a key and braces make its hash tag, so neither can be in a name.
        marks = ":._-" if info.field_name == "redis_prefix" else "._-"
        if not re.fullmatch(rf"[A-Za-z0-9{marks}]{{1,64}}", value):
            raise ValueError(f"must be 1 to 64 letters, digits or {' '.join(marks)}")
        return value

    @field_validator("engine_user")
    @classmethod
    def _has_no_colon(cls, value: str | None) -> str | None:
        if value and ":" in value:
            raise ValueError("must not contain a colon; the password belongs in ENGINE_PASSWORD")
        return value

    @field_validator("engine_password")
    @classmethod
    def _pairs_with_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # BaseSettings validates defaults too, so a password that is missing comes here as None.
        if value is None and info.data.get("engine_user"):
            raise ValueError("must be set, because ENGINE_USER is")
        if value is not None and info.data.get("engine_user", "bad, and said so") is None:
            raise ValueError("needs ENGINE_USER as well")
        return value

    @field_validator("engine_token")
    @classmethod
    def _excludes_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and (info.data.get("engine_user") or info.data.get("engine_password")):
            raise ValueError("cannot be combined with ENGINE_USER and ENGINE_PASSWORD; set one or the other")
        return value

    @field_validator("engine_token_url")
    @classmethod
    def _excludes_others(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and (info.data.get("engine_user") or info.data.get("engine_token")):
            raise ValueError("cannot be combined with ENGINE_USER or ENGINE_TOKEN; set one of them")
        return value

    @field_validator("engine_client_id", "engine_client_secret", "engine_scope", "engine_audience")
    @classmethod
    def _belongs_to_a_token_url(cls, value: Any, info: ValidationInfo) -> Any:
        is_client = info.data.get("engine_token_url", "bad, and said so") is not None
        if value is not None and not is_client:
            raise ValueError("needs ENGINE_TOKEN_URL as well")
        if value is None and info.data.get("engine_token_url") and str(info.field_name).startswith("engine_client"):
            raise ValueError("must be set, because ENGINE_TOKEN_URL is")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str | None) -> str | None:
        # Taken as it is: tokens have to name it letter for letter.
        parts = split_http(value) if value else None
        if value and (parts is None or parts.query or parts.fragment or "@" in value):
            raise ValueError("must be an address that begins with https://, without credentials, ? or #")
        if parts and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("must begin with https://: else its keys could be anybody's")
        return value.strip() if value else None

    @field_validator("oidc_audience", "oidc_roles", "oidc_tenants_claim", "oidc_engine_user_claim", "oidc_client_id")
    @classmethod
    def _belongs_to_an_issuer(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("oidc_issuer", "bad, and said so") is None:
            raise ValueError("needs OIDC_ISSUER as well")
        if value is None and info.data.get("oidc_issuer") and info.field_name in ("oidc_audience", "oidc_roles"):
            raise ValueError("must be set, because OIDC_ISSUER is")
        return value

    @field_validator("engine_cert_file")
    @classmethod
    def _can_be_shown(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        key_file = info.data.get("engine_key_file")
        if value is None:
            if key_file is not None:
                raise ValueError("must be set, because ENGINE_KEY_FILE is")
            return None
        show_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), value, key_file)
        if info.data.get("engine_url", "https:").lower().startswith("http:"):
            raise ValueError("needs an ENGINE_URL that begins with https://: without TLS nobody sees a certificate")
        return value

    @field_validator("engine_token", "openai_api_key", "zep_api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("must be one line of ASCII characters without spaces")
        return value

    @field_validator("engine_ca_file", "redis_ca_file", "oidc_ca_file")
    @classmethod
    def _holds_certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
            except OSError as exc:  # ssl.SSLError is one
                raise ValueError(f"must be a PEM file with certificates: {exc.strerror or exc}") from exc
        return value

    @field_validator("api_frames", "api_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise ValueError("must be origins such as https://cockpit.example, without a path")
        return value

    @field_validator(
        "topics", "tenants", "handlers", "api_frames", "api_origins", "record_service_accounts", mode="before"
    )
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        names = tuple(dict.fromkeys(name for part in value.split(",") if (name := part.strip())))
        if not names:  # a limit that was meant would be none at all
            raise ValueError("names nothing between its commas; leave it out if nothing is meant")
        return names

    @field_validator("handlers")
    @classmethod
    def _are_functions(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        topics = []
        for entry in value:
            if not re.fullmatch(r"[^=]*[^=\s]\s*=\s*[\w.]+:[\w.]+", entry):
                raise ValueError("must be entries such as pay=shop.payments:charge, separated by commas")
            topics.append(entry.partition("=")[0].strip())
        if len(set(topics)) < len(topics):
            raise ValueError("must name each topic once")
        if both := set(topics) & set(info.data.get("topics", ())):
            raise ValueError(
                f"must not name {min(both)}, which is in TOPICS: a topic is for assistants or for a function"
            )
        return value

    @field_validator("tenants")
    @classmethod
    def _is_dash_or_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "-" in value and len(value) > 1:  # a poll can ask for tasks of tenants or of none
            raise ValueError("must be names, or - alone for tasks without a tenant; run a second worker for the others")
        return value

    @field_validator("grace_seconds")
    @classmethod
    def _outlasts_a_poll(cls, value: int, info: ValidationInfo) -> int:
        # A poll broken off would still lock tasks, for nobody.
        poll_seconds = info.data.get("poll_seconds", 0)
        if value < poll_seconds:
            raise ValueError(f"must be at least POLL_SECONDS ({poll_seconds}): a stop lets the poll return")
        return value

    @field_validator(
        "retention_threads_days",
        "retention_transcript_days",
        "chat_retention_days",
        "decision_retention_days",
        mode="before",
    )
    @classmethod
    def _is_days_or_never(cls, value: Any) -> Any:
        text = str(value).strip().lower()
        if value is None or text == "never":
            return None
        if not re.fullmatch(r"\d{1,4}", text) or int(text) > LONGEST_RETENTION_DAYS:
            raise ValueError(f"must be a whole number of days from 0 to {LONGEST_RETENTION_DAYS}, or never")
        return int(text)

    @field_validator(
        "memory",
        "zep_api",
        "thread_validation",
        "retention_transcript",
        "trace_propagation",
        "trace_content",
        "log_format",
        "log_level",
        mode="before",
    )
    @classmethod
    def _in_any_case(cls, value: Any, info: ValidationInfo) -> Any:
        options = get_args(cls.model_fields[str(info.field_name)].annotation)
        return {option.lower(): option for option in options}.get(str(value).strip().lower(), value)


LONGEST_RETENTION_DAYS = 3650
_CREDENTIALS = {
    "engine_url": "ENGINE_USER and ENGINE_PASSWORD",
    "engine_token_url": "ENGINE_CLIENT_ID and ENGINE_CLIENT_SECRET",
    "openai_base_url": "OPENAI_API_KEY",
    "zep_url": "ZEP_API_KEY",
}
"""Where the credentials belong that somebody writes into an address."""


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


SECRETS = tuple(name for name, field in Settings.model_fields.items() if _is_secret(field))
"""The settings that are or hold a secret, each of which may stand in a file that `<SETTING>_FILE` names."""


def read() -> Settings:
    """Return the settings, or raise Permanent whose text has one line for each mistake, and no secret."""
    try:
        with _reading_dotenv():
            return Settings()
    except ValidationError as exc:
        raise Permanent("\n".join(explain(exc))) from None  # the cause holds the inputs


def variables() -> dict[str, str]:
    """Return all that settings are taken from, by names in capitals: the environment wins, what is empty is not set.

    Raises Permanent where `.env` cannot be read.
    """
    with _reading_dotenv():
        written = DotEnvSettingsSource(Settings).env_vars
    return {name.upper(): text for name, text in (*written.items(), *os.environ.items()) if text}


@contextmanager
def _reading_dotenv() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise Permanent(".env: must be UTF-8 text") from None
    except OSError as exc:
        raise Permanent(f".env: cannot be read: {exc.strerror}") from exc


NEAR = 0.88
"""Share of letters from which on a name is taken for one of ours: ENGINE_ULR is, APP_PORT of another program is not."""


def misspelt() -> dict[str, str]:
    """Return names that are set and are none of ours, but nearly: each with the name that is probably meant.

    They are no mistake that could stop a start, as the environment and `.env` are shared with other programs. To be
    asked after `read`, which says what is wrong with a `.env` that cannot be read.
    """
    ours = Settings.model_fields.keys() | {f"{name}_file" for name in SECRETS}
    given = {name.lower() for name in variables()}
    near = {name: get_close_matches(name, ours, n=1, cutoff=NEAR) for name in sorted(given - ours)}
    return {name.upper(): names[0].upper() for name, names in near.items() if names}


def explain(error: ValidationError) -> list[str]:
    """Turn pydantic's error into lines such as `MAX_TASKS=abc: must be a whole number from 1 to 1000`."""
    return [_line(detail) for detail in error.errors(include_url=False)]


def _line(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    field = Settings.model_fields[name]
    value = detail["input"]
    if isinstance(value, _InFile):
        return f"{name.upper()}_FILE={_path(value.path)}: {_requirement(field, detail)}"
    given = "" if value is None else f"={_shown(name, field, value)}"
    return f"{name.upper()}{given}: {_requirement(field, detail)}"


def _path(text: str) -> str:
    """Show a path, unless it may be the secret itself: somebody may have put that in the place of its file's name."""
    # No secret in Base64 has a point.
    looks_so = text.isprintable() and re.match(r"\.{1,2}/[^/]+/|.*\.[A-Za-z]{2,4}$", text) is not None
    with suppress(OSError):  # it is too long, for one
        looks_so = looks_so or Path(text).exists() or _has_folder(Path(text))
    return text if looks_so else "***"


def _has_folder(path: Path) -> bool:
    """Whether what a path goes through is there: of an absolute one the first folder, as the rest may be not yet."""
    first = Path(*path.parts[:2]) if path.is_absolute() else path.parent
    return first not in {path, Path()} and first.is_dir()


def _shown(name: str, field: FieldInfo, value: Any) -> str:
    # What is wrong with an address or a user is often the password in it.
    if (
        _is_secret(field)
        or name == "engine_user"
        or (name.endswith(("_url", "_issuer")) and re.search("[@?#]", str(value)))
    ):
        return "***"
    text = str(value)[:80]
    return text if text.isprintable() else repr(text)


def _requirement(field: FieldInfo, detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if field.annotation is int:
        low, high = (
            next(getattr(bound, end) for bound in field.metadata if hasattr(bound, end)) for end in ("ge", "le")
        )
        return f"must be a whole number from {low} to {high}"
    if detail["type"] == "literal_error":
        return f"must be one of {', '.join(get_args(field.annotation))}"
    return detail["msg"].replace("Input should be", "must be")
