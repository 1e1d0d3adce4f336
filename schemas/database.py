"""What clients remember here: namespaces of JSON, how they came to be what they are, and copies of them."""

from typing import Annotated, Any

from pydantic import Field

from .base import CHANGES, Flags, Float, Int, Method, Model, NoParams, Params, Permission

OWNER = "database"
TIMES_FROM = 1_000_000_000
WRITES = Flags(changes=True, told_elsewhere=("value",))
LONG = 300.0  # seconds that copying or compacting a large database may take

Namespace = Annotated[str, Field(min_length=1)]
Key = Annotated[
    str | list[str],
    Field(description="`a.b.c`, or the names one by one where they have dots themselves: `[a, b, c]`."),
]


class GetParams(Params):
    """What to read, and as it was when."""

    namespace: Namespace
    key: Key | None = Field(None, description="Left out: the whole namespace.")
    at: Annotated[Float | None, Field(ge=0)] = Field(
        None,
        description=f"As it was then: a Unix time, or, below {TIMES_FROM:.0e}, after the event of that number.",
    )


class PostParams(Params):
    """What to write."""

    namespace: Namespace
    key: Key
    value: Any = Field(description="Any JSON; in a query string what is not text needs a type hint (`value:json`).")


class DeleteParams(Params):
    """What to delete."""

    namespace: Namespace
    key: Key


class HistoryParams(Params):
    """Of what, and which part."""

    namespace: Namespace
    key: Key
    before: Annotated[Int, Field(ge=1)] | None = Field(None, description="Only what was earlier than this event.")
    limit: Annotated[Int, Field(ge=1, le=500)] = 50


class Item(Model):
    """A value and where it is; of a deleted one, what it was."""

    namespace: str
    key: str | list[str] | None = Field(description="In the form in which it was asked for.")
    value: Any


class Change(Model):
    """One change of a key: made by writing it, something in it, or something around it."""

    seq: int = Field(description="The event that says so.")
    time: float = Field(description="Unix seconds.")
    actor: dict[str, Any] | None = Field(description="Who asked for it: user, transport, client.")
    value: Any = Field(None, description="What the key was afterwards; left out where it was gone.")


class Changes(Model):
    """Changes of a key, newest first; large values come in smaller numbers."""

    namespace: str
    key: str | list[str]
    changes: list[Change]
    more: bool = Field(description="There are earlier ones: ask again with `before`.")


class Contents(Model):
    """What there is."""

    namespaces: list[str] = Field(description="That clients may read.")
    backups: list[str] = Field(description="File names in the backup folder.")


class AllContents(Contents):
    """What there is, whoever may read it."""

    namespaces: list[str]
    tables: list[str] = Field(description="Always empty: what Moonraker has in tables are folds of the log.")


class TableParams(Params):
    """Which table."""

    table: str


class Table(Model):
    """The rows of a table."""

    table_name: str
    rows: list[dict[str, Any]]


class BackupParams(Params):
    """What to call the copy."""

    filename: str | None = Field(None, description="Left out: a name with date and time.")


class BackupName(Params):
    """Which copy."""

    filename: str


class Backup(Model):
    """Where a copy is, or was."""

    backup_path: str


class Sizes(Model):
    """Bytes that the event log has to keep for the database."""

    previous_size: int
    new_size: int


class Restored(Model):
    """What is again as it was."""

    restored_tables: list[str] = Field(description="Always empty: there are no tables.")
    restored_namespaces: list[str]


LIST = Method(
    "server.database.list",
    NoParams,
    Contents,
    OWNER,
    Permission.READ,
    ("GET /server/database/list",),
    summary="The namespaces, and the backups.",
)
GET_ITEM = Method(
    "server.database.get_item",
    GetParams,
    Item,
    OWNER,
    Permission.READ,
    ("GET /server/database/item",),
    summary="A value, or a whole namespace, as it is or as it was.",
)
POST_ITEM = Method(
    "server.database.post_item",
    PostParams,
    Item,
    OWNER,
    Permission.CONTROL,
    ("POST /server/database/item",),
    flags=WRITES,
    summary="Writes a value; what is missing on the way is made.",
)
DELETE_ITEM = Method(
    "server.database.delete_item",
    DeleteParams,
    Item,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/database/item",),
    flags=CHANGES,
    summary="Deletes a value and answers what it was; a namespace that is empty then is gone, too.",
)
HISTORY = Method(
    "server.database.history",
    HistoryParams,
    Changes,
    OWNER,
    Permission.READ,
    ("GET /server/database/history",),
    deadline=LONG,
    summary="What a key was before, since when, and who changed it.",
)
COMPACT = Method(
    "server.database.compact",
    NoParams,
    Sizes,
    OWNER,
    Permission.ADMIN,
    ("POST /server/database/compact",),
    deadline=LONG,
    flags=CHANGES,
    summary="Forgets what values were before; not during a print.",
)
POST_BACKUP = Method(
    "server.database.post_backup",
    BackupParams,
    Backup,
    OWNER,
    Permission.ADMIN,
    ("POST /server/database/backup",),
    deadline=LONG,
    flags=CHANGES,
    summary="Copies all namespaces into a file; not during a print.",
)
DELETE_BACKUP = Method(
    "server.database.delete_backup",
    BackupName,
    Backup,
    OWNER,
    Permission.ADMIN,
    ("DELETE /server/database/backup",),
    flags=CHANGES,
    summary="Deletes such a copy.",
)
RESTORE = Method(
    "server.database.restore",
    BackupName,
    Restored,
    OWNER,
    Permission.ADMIN,
    ("POST /server/database/restore",),
    deadline=LONG,
    flags=CHANGES,
    summary="Makes all namespaces what they are in a copy, and restarts the server; not during a print.",
)
DEBUG = "Only with `database: {debug: true}` in printer.yaml: "
DEBUG_LIST = Method(
    "debug.database.list",
    NoParams,
    AllContents,
    OWNER,
    Permission.ADMIN,
    ("GET /debug/database/list",),
    summary=f"{DEBUG}all namespaces.",
)
DEBUG_GET = Method(
    "debug.database.get_item",
    GetParams,
    Item,
    OWNER,
    Permission.ADMIN,
    ("GET /debug/database/item",),
    summary=f"{DEBUG}a value of any namespace.",
)
DEBUG_POST = Method(
    "debug.database.post_item",
    PostParams,
    Item,
    OWNER,
    Permission.ADMIN,
    ("POST /debug/database/item",),
    flags=WRITES,
    summary=f"{DEBUG}writes into any namespace.",
)
DEBUG_DELETE = Method(
    "debug.database.delete_item",
    DeleteParams,
    Item,
    OWNER,
    Permission.ADMIN,
    ("DELETE /debug/database/item",),
    flags=CHANGES,
    summary=f"{DEBUG}deletes from any namespace.",
)
DEBUG_TABLE = Method(
    "debug.database.table",
    TableParams,
    Table,
    OWNER,
    Permission.ADMIN,
    ("GET /debug/database/table",),
    summary=f"{DEBUG}the rows of a table; there are none.",
)
