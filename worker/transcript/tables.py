"""The tables, as both databases have them. The migrations make them; a test keeps the two alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
    types,
)
from sqlalchemy.dialects.postgresql import JSONB

from worker.domain.threads import PERSON_SCOPE

VERSION_TABLE = "transcript_version"
WORDS_INDEX = "message_words"
"""SQLite's full-text table, and the name of PostgreSQL's index: neither can be said in terms of both."""
FACTS_INDEX = "fact_words"
"""The same of what is remembered."""
LAST_NUMBER = "last_number"
"""SQLite's table of the highest number that went with its message: there it would be given again."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time, UTC in and out. SQLite keeps it as text of one width, so that texts sort like times."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What goes in and comes out."""
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a naive time: nobody could say when it was."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its zone")
        value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """PostgreSQL answers in the zone of the connection."""
        if value is None:
            return None
        return (datetime.fromisoformat(value) if dialect.name == "sqlite" else value).astimezone(UTC)


BIG = BigInteger()
NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's own row number
JSON = types.JSON().with_variant(JSONB(), "postgresql")

FREE = text(f"substr(scope, 1, {len(PERSON_SCOPE)}) = '{PERSON_SCOPE}'")
"""As in `conditions.FREE`: an index of some rows is only found by what looks the same."""

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("process_instance_id", Text),
    Column("definition_key", Text, nullable=False),
    Column("definition_version", BIG),
    Column("business_key", Text),
    Column("tenant", Text),
    Column("assistant", Text, nullable=False),
    Column("assistant_version", Text),
    Column("thread_id", Text),
    Column("generation", BIG),
    Column("user_id", Text),  # `user` is a function of PostgreSQL's
    Column("started_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("duration_seconds", Double),
    Column("is_active", Boolean(create_constraint=False), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("thread_erased_at", UtcTime),
    Column("anonymised_at", UtcTime),
    CheckConstraint("kind IN ('thread', 'chat')", name="sessions_kind"),
    CheckConstraint("is_active = (ended_at IS NULL)", name="sessions_active"),
    Index("sessions_instance", "process_instance_id"),
    Index("sessions_business_key", "business_key"),
    Index("sessions_started", "started_at", "id"),
    Index("sessions_engine", "engine", "started_at", "id"),
    # Of many years' conversations the few that go on, and the few whose threads are left:
    Index(
        "sessions_going_on", "started_at", "id", sqlite_where=text("is_active = 1"), postgresql_where=text("is_active")
    ),
    Index(
        "sessions_with_threads",
        "started_at",
        "id",
        sqlite_where=text("thread_erased_at IS NULL"),
        postgresql_where=text("thread_erased_at IS NULL"),
    ),
    Index("sessions_free", "started_at", "id", sqlite_where=FREE, postgresql_where=FREE),
)

messages = Table(
    "messages",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    # Microseconds since the epoch, of the answer's time; what comes before it counts back from there.
    Column("position", BIG, nullable=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("words", Text, nullable=False),  # what a search finds it by
    Column("attachment_url", Text),
    Column("process_instance_id", Text, nullable=False),
    Column("definition_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("activity_id", Text, nullable=False),
    Column("activity_name", Text, nullable=False),
    Column("attempt", BIG, nullable=False),
    Column("thread_id", Text),
    Column("generation", BIG),
    Column("response_id", Text),
    Column("model", Text),
    Column("input_tokens", BIG),
    Column("output_tokens", BIG),
    Column("processing_seconds", Double),
    Column("metadata", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("anchor", Text),  # the account that the thread is in
    Column("provider", Text),
    Column("cached_tokens", BIG),
    Column("cache_write_tokens", BIG),
    Column("reasoning_tokens", BIG),
    Column("cost", BIG),  # in billionths of the currency
    Column("currency", Text),
    Column("is_between", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("user_id", Text),
    CheckConstraint("role IN ('user', 'agent', 'system')", name="messages_role"),
    Index("messages_session", "session_id", "position", "id"),
    Index("messages_numbers", "session_id", "number"),
    Index("messages_instance", "process_instance_id", "position", "id", "session_id"),
    # All that sums are made of, so that they need not read past what was said:
    Index(
        "messages_answers",
        "session_id",
        "position",
        "process_instance_id",
        "definition_id",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost",
        "currency",
        "role",
        "is_between",
        sqlite_where=text("role = 'agent'"),
        postgresql_where=text("role = 'agent'"),
    ),
)

UNFINISHED = text("state IN ('queued', 'running')")

asks = Table(
    "asks",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    # With it they go, whatever worker deletes it: an older one knows nothing of this table.
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("engine", Text, nullable=False),
    Column("tenant", Text),
    Column("about", Text, nullable=False),  # the scope of the thread that it is about
    Column("target", Text, nullable=False),  # and of the one that it is answered on
    Column("assistant", Text, nullable=False),
    Column("person_id", String(32), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("process_instance_id", Text, nullable=False),
    Column("definition_id", Text, nullable=False),
    Column("definition_key", Text, nullable=False),
    Column("definition_version", BIG),
    Column("business_key", Text),
    Column("on_thread", Boolean(create_constraint=False), nullable=False),
    Column("as_of", BIG),
    Column("state", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("holder", String(32)),
    Column("deaths", BIG, nullable=False),
    Column("failure", Text, nullable=False),
    Column("answer_id", String(32)),
    Column("finished_at", UtcTime),
    Column("attachments", JSON),
    Index("asks_session", "session_id", "number"),
    Index("asks_instance", "process_instance_id"),
    Index("asks_person", "person_id"),
    Index("asks_due", "engine", "due_at", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
    Index("asks_target", "target", "assistant", "number", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
)

feedback = Table(
    "feedback",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("message_id", String(32), ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("person_id", String(32)),  # none where it was made anonymous
    Column("person", Text, nullable=False),
    Column("rating", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("given_at", UtcTime, nullable=False),
    CheckConstraint("rating IN ('right', 'wrong')", name="feedback_rating"),
    Index("feedback_of_person", "message_id", "person_id", unique=True),
)

handovers = Table(
    "handovers",
    metadata,
    Column("ask_id", String(32), ForeignKey("asks.id", ondelete="CASCADE"), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("message", Text),
    Column("task", Text),
    Column("variable", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("state", Text, nullable=False),
    Column("holder", String(32), nullable=False),
    Column("begun_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("decided_by", Text, nullable=False),
)

OPEN = text("ended_at IS NULL")

visits = Table(
    "visits",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("engine", Text, nullable=False),
    Column("person_id", String(32)),  # none where it was made anonymous
    Column("person", Text, nullable=False),
    Column("heartbeat", Text),  # the worker's that keeps it; none where its client does
    Column("began_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("duration_seconds", Double),
    Index("visits_session", "session_id", "began_at"),
    Index("visits_person", "person_id"),
    Index("visits_open", "engine", sqlite_where=OPEN, postgresql_where=OPEN),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("engine", Text, nullable=False),
    Column("tenant", Text),
    Column("process_instance_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("definition_key", Text, nullable=False),
    Column("business_key", Text),
    Column("revision", BIG, nullable=False),
    Column("status", Text, nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),  # the instance's end
    Column("held_at", UtcTime),
    Column("held_by", Text),
    Column("held_why", Text),
    Index("decisions_instance", "process_instance_id"),
    Index("decisions_business_key", "business_key"),
    Index("decisions_changed", "engine", "changed_at", "id"),
    Index(
        "decisions_going_on", "engine", sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")
    ),
)

revisions = Table(
    "decision_revisions",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", BIG, primary_key=True, autoincrement=False),
    Column("content_sha256", String(64), nullable=False),
    Column("record", Text, nullable=False),  # JSON as it was hashed: JSONB writes numbers in its own way
)

processes = Table(
    "decision_processes",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("process_instance_id", Text, primary_key=True),
    Column("definition_key", Text, primary_key=True),  # empty where a person said it
    Index("decision_processes_instance", "process_instance_id"),
)

changes = Table(
    "decision_rows",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("revision", BIG, nullable=False),
    Column("row", Text, nullable=False),
    Column("signed", Text),  # beside the row, which older workers hash as it stands
)

held_messages = Table(
    "decision_held_messages",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("message_id", String(32), primary_key=True),  # of messages that may be gone already
    Index("decision_held_messages_message", "message_id"),
)

memory_subjects = Table(
    "memory_subjects",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("engine", Text, nullable=False),  # empty where engines share it
    Column("tenant", Text),
    Column("kind", Text, nullable=False),
    Column("generation", BIG, nullable=False),  # grows when it is forgotten
    Column("place", BIG, nullable=False),  # of what was last to be remembered
    Column("changed_at", UtcTime, nullable=False),
    Column("forgotten_at", UtcTime),
    Index("memory_subjects_changed", "changed_at", "digest"),
)

memory_waiting = Table(
    "memory_waiting",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("subject", String(32), ForeignKey("memory_subjects.digest"), nullable=False),
    Column("generation", BIG, nullable=False),
    Column("place", BIG, nullable=False),
    Column("engine", Text, nullable=False),
    # The words are the answer's, and go with it, whatever worker deletes it. None where a person has approved a fact.
    Column("message_id", String(32), ForeignKey("messages.id", ondelete="CASCADE")),
    Column("fact_id", String(32)),
    Column("process_instance_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("assistant", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("needs_approval", Boolean(create_constraint=False), nullable=False),
    Column("said_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("is_late", Boolean(create_constraint=False), nullable=False),
    Column("why", Text, nullable=False),
    Index("memory_waiting_due", "engine", "due_at"),
    Index("memory_waiting_subject", "subject", "place"),
    Index("memory_waiting_instance", "process_instance_id"),
    Index("memory_waiting_message", "message_id"),
)

memory_facts = Table(
    "memory_facts",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("subject", String(32), ForeignKey("memory_subjects.digest"), nullable=False),
    Column("engine", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("text", Text, nullable=False),  # what is recalled
    Column("words", Text, nullable=False),  # what a search finds it by
    Column("process_instance_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("assistant", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("message_id", String(32)),  # of an answer that may be gone already
    Column("said_at", UtcTime, nullable=False),
    Column("approved_by", Text),
    Column("approved_at", UtcTime),
    CheckConstraint("state IN ('proposed', 'approved')", name="memory_facts_state"),
    Index("memory_facts_ref", "subject", "ref", unique=True),
    Index("memory_facts_subject", "subject", "state", "number"),
    Index("memory_facts_instance", "process_instance_id"),
)

anchors = Table(
    "anchors",
    metadata,
    Column("engine", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("made_at", UtcTime, nullable=False),
    Column("is_left", Boolean(create_constraint=False), nullable=False),
)

formats = Table(
    "formats",
    metadata,
    Column("engine", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)
