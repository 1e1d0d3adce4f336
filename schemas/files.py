"""Files: the roots of the file manager, what can be done in them, and transfers of file contents over topics."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel

from .base import CHANGES, Bool, Int, Method, Model, NoParams, Notification, Params, Permission, Text
from .gcode_metadata import FileMetadata

OWNER = "filestore"
GCODES = "gcodes"
LOGS = {"klippy.log": "/server/files/klippy.log", "moonraker.log": "/server/files/moonraker.log"}
"""Logs that are fetched by their names, wherever they are, with their paths over HTTP."""
METADATA_DEADLINE = 120.0  # seconds; other scans may be before it

Permissions = Literal["r", "rw", ""]


def _to_list(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Items = Annotated[list[str], BeforeValidator(_to_list)]


class RootParams(Params):
    """Which root."""

    root: str = Field(GCODES, description="A name that `server.files.roots` lists.")


class PathParams(Params):
    """A file or folder; the first part of its path is the root."""

    path: Text = Field(description="`root/folder/name`.")


class DirectoryParams(Params):
    """Which folder."""

    path: Text = Field(GCODES, description="`root/folder`; without it, the gcodes root.")
    extended: Bool = Field(False, description="Whether files have their metadata, where there is some.")


class DeleteParams(PathParams):
    """Which folder, and whether with everything in it."""

    force: Bool = Field(False, description="Needed for a folder that is not empty.")


class MoveParams(Params):
    """From where to where; the first part of both paths is a root."""

    source: Text
    dest: Text = Field(description="A folder that exists gets the source into it; a file that exists is replaced.")


class ZipParams(Params):
    """What to put into an archive, and where that goes."""

    dest: str | None = Field(None, description="By default `config/collection-{date}-{time}.zip`.")
    items: Items = Field(description="Files and folders, each with its root; also as one text with commas.")
    store_only: Bool = Field(False, description="Whether to leave out compression.")


class FilenameParams(Params):
    """A file of the gcodes root."""

    filename: Text = Field(description="Relative to gcodes.")


class ThumbnailOf(Model):
    """A picture of a gcode file."""

    width: int
    height: int
    size: int = Field(description="Bytes.")
    thumbnail_path: str = Field(description="In the gcodes root.")


class Root(Model):
    """A folder that the API gives access to."""

    name: str
    path: str = Field(description="Where it is on the server's machine.")
    permissions: Literal["r", "rw"]


class Listed(Model):
    """A file, by its path in the root."""

    path: str
    modified: float = Field(description="Unix seconds.")
    size: int = Field(description="Bytes.")
    permissions: Permissions = Field(description="What the API may do with it; empty: nothing.")


class ListedFile(Model):
    """A file in a folder; with `extended`, its metadata too."""

    model_config = ConfigDict(extra="allow")

    filename: str
    modified: float
    size: int
    permissions: Permissions


class ListedFolder(Model):
    """A folder in a folder."""

    dirname: str
    modified: float
    size: int
    permissions: Permissions


class DiskUsage(Model):
    """Of the disk that holds the folder, in bytes."""

    total: int
    used: int
    free: int


class RootInfo(Model):
    """The root of a folder."""

    name: str
    permissions: Literal["r", "rw"]


class Directory(Model):
    """One folder."""

    dirs: list[ListedFolder]
    files: list[ListedFile]
    disk_usage: DiskUsage
    root_info: RootInfo


class Item(Model):
    """A file or folder after a change; what is gone has size and time 0 and no permissions."""

    path: str = Field(description="Without the root.")
    root: str
    modified: float
    size: int
    permissions: Permissions


class SourceItem(Model):
    """Where something has been before."""

    path: str
    root: str


class Created(Model):
    """A new folder."""

    item: Item
    action: Literal["create_dir"]


class DeletedFolder(Model):
    """A folder that is gone."""

    item: Item
    action: Literal["delete_dir"]


class DeletedFile(Model):
    """A file that is gone."""

    item: Item
    action: Literal["delete_file"]


class Moved(Model):
    """What has another path now."""

    item: Item
    source_item: SourceItem
    action: Literal["move_file", "move_dir"]


class Copied(Model):
    """The copy."""

    item: Item
    action: Literal["create_file", "modify_file", "create_dir"]


class Zipped(Model):
    """A new archive."""

    destination: Item
    action: Literal["zip_files"]


class Changed(Model):
    """What has happened to one file or folder; what happens to a folder is said once, not for all that is in it."""

    action: Literal[
        "create_file",
        "create_dir",
        "delete_file",
        "delete_dir",
        "move_file",
        "move_dir",
        "modify_file",
        "root_update",
    ]
    item: Item
    source_item: SourceItem | None = Field(None, description="Only of what was moved.")


# -- transfers: whoever receives says which bytes it wants next, and whoever sends keeps within that


Checked = Annotated[
    str, Field(pattern=r"^\s*[0-9A-Fa-f]{64}\s*$", description="SHA-256 of the content, in hexadecimal digits.")
]


class UploadParams(Params):
    """What is going to be uploaded, as far as that is known; `files.upload.commit` has the last word.

    With size and checksum, the same call again goes on where the upload has got to, even after a restart.
    """

    root: str = GCODES
    path: str = Field("", description="A folder in the root.")
    filename: str = ""
    size: Annotated[Int | None, Field(ge=0, description="Bytes, or a little more; there must be room for them.")] = None
    checksum: Checked | None = None
    chunk: Annotated[Int, Field(ge=1024, le=1 << 20, description="Bytes of a chunk that the client would like.")] = (
        256 << 10
    )


class DownloadParams(PathParams):
    """Which file; `klippy.log` and `moonraker.log` need no root."""

    chunk: Annotated[Int, Field(ge=1024, le=1 << 20, description="Bytes of a chunk that the client would like.")] = (
        256 << 10
    )


class Transfer(Model):
    """A transfer that has begun; it is given up when nothing happens for a minute."""

    id: str
    data: str = Field(description="The topic of chunks: the offset in 8 bytes, big-endian, and the bytes from there.")
    want: str = Field(description="The topic on which the receiver says what it wants.")
    failed: str = Field(description="The topic on which the server says why it gives up, as a JSON-RPC error object.")
    chunk: int = Field(description="Bytes that a chunk holds at most.")


class Upload(Transfer):
    """An upload; the first chunks may be sent at once."""

    start: int = Field(description="The first byte to send: 0, or where an interrupted upload goes on.")
    end: int = Field(description="The byte behind the last one that may be sent before anything is said on `want`.")
    limit: int = Field(description="Bytes that a file may have.")


class Download(Transfer):
    """A download: it begins with the first message on `want`."""

    window: int = Field(description="Bytes to ask for beyond what has arrived, at most.")
    name: str = Field(description="Of the file, without folders.")
    size: int
    modified: float


class Want(Model):
    """What the receiver has room for."""

    start: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The first byte that has not arrived: go on from there. Without it, from where the sender is."
    )
    end: Annotated[int, Field(ge=0)] = Field(description="The byte behind the last one that may be sent now.")


class Chunk(RootModel[bytes]):
    """An offset in 8 bytes, big-endian, and the bytes of the file from there."""


class TransferParams(Params):
    """Which transfer."""

    id: str


class Checksum(Model):
    """What a file contains."""

    checksum: str = Field(description="SHA-256 in hexadecimal digits.")


class CommitParams(TransferParams):
    """What becomes of an upload."""

    root: str = GCODES
    path: str = Field("", description="A folder in the root; it is made where it is missing.")
    filename: str = Field(description="With folders, if these exist.")
    size: Annotated[Int, Field(ge=0)] = Field(description="Of the content, in bytes.")
    checksum: str | None = Field(None, description="SHA-256 of the content, in hexadecimal digits.")
    print: Bool = Field(False, description="Whether to print it at once, where that can be; only in gcodes.")


class Uploaded(Model):
    """The new file; the last two members are there in the gcodes root only."""

    item: Item
    action: Literal["create_file", "modify_file"]
    print_started: bool = False
    print_queued: bool = False


class Begun(Model):
    """What has become of a file that is to be printed."""

    print_started: bool
    print_queued: bool = Field(description="It waits for its turn; see `queue_gcode_uploads`.")


ROOTS = Method(
    "server.files.roots",
    NoParams,
    list[Root],
    OWNER,
    Permission.READ,
    ("GET /server/files/roots",),
    summary="The folders that the API gives access to.",
)
LIST = Method(
    "server.files.list",
    RootParams,
    list[Listed],
    OWNER,
    Permission.READ,
    ("GET /server/files/list",),
    summary="All files of a root; of the gcodes root only gcode.",
)
GET_DIRECTORY = Method(
    "server.files.get_directory",
    DirectoryParams,
    Directory,
    OWNER,
    Permission.READ,
    ("GET /server/files/directory",),
    summary="One folder, and the room on its disk.",
)
METADATA = Method(
    "server.files.metadata",
    FilenameParams,
    FileMetadata,
    OWNER,
    Permission.READ,
    ("GET /server/files/metadata",),
    deadline=METADATA_DEADLINE,
    summary="What a gcode file says about its print.",
)
METASCAN = Method(
    "server.files.metascan",
    FilenameParams,
    FileMetadata,
    OWNER,
    Permission.FILES,
    ("POST /server/files/metascan",),
    deadline=METADATA_DEADLINE,
    flags=CHANGES,
    summary="Reads a gcode file's metadata anew.",
)
THUMBNAILS = Method(
    "server.files.thumbnails",
    FilenameParams,
    list[ThumbnailOf],
    OWNER,
    Permission.READ,
    ("GET /server/files/thumbnails",),
    deadline=METADATA_DEADLINE,
    summary="The pictures of a gcode file.",
)
POST_DIRECTORY = Method(
    "server.files.post_directory",
    PathParams,
    Created,
    OWNER,
    Permission.FILES,
    ("POST /server/files/directory",),
    flags=CHANGES,
    summary="Makes a folder; the one that it goes into must exist.",
)
DELETE_DIRECTORY = Method(
    "server.files.delete_directory",
    DeleteParams,
    DeletedFolder,
    OWNER,
    Permission.FILES,
    ("DELETE /server/files/directory",),
    deadline=None,
    flags=CHANGES,
    summary="Deletes a folder.",
)
MOVE = Method(
    "server.files.move",
    MoveParams,
    Moved,
    OWNER,
    Permission.FILES,
    ("POST /server/files/move",),
    deadline=None,
    flags=CHANGES,
    summary="Moves or renames a file or folder; not the file that is being printed.",
)
COPY = Method(
    "server.files.copy",
    MoveParams,
    Copied,
    OWNER,
    Permission.FILES,
    ("POST /server/files/copy",),
    deadline=None,
    flags=CHANGES,
    summary="Copies a file or folder.",
)
ZIP = Method(
    "server.files.zip",
    ZipParams,
    Zipped,
    OWNER,
    Permission.FILES,
    ("POST /server/files/zip",),
    deadline=None,
    flags=CHANGES,
    summary="Packs files, and the files directly in folders, into an archive.",
)
DELETE_FILE = Method(
    "server.files.delete_file",
    PathParams,
    DeletedFile,
    OWNER,
    Permission.FILES,
    ("DELETE /server/files/{root}/{filename}",),
    flags=CHANGES,
    summary="Deletes a file.",
)
PRINT = Method(
    "files.print",
    FilenameParams,
    Begun,
    OWNER,
    Permission.CONTROL,
    deadline=None,
    flags=CHANGES,
    summary="Prints a file now or, where uploads are queued, when its turn comes.",
)
UPLOAD_OPEN = Method(
    "files.upload.open",
    UploadParams,
    Upload,
    OWNER,
    Permission.FILES,
    summary="Begins an upload; the content follows on a topic.",
)
UPLOAD_COMMIT = Method(
    "files.upload.commit",
    CommitParams,
    Uploaded,
    OWNER,
    Permission.FILES,
    deadline=None,
    flags=CHANGES,
    summary="Makes what was uploaded a file: all of it, or nothing changes.",
)
UPLOAD_ABORT = Method(
    "files.upload.abort",
    TransferParams,
    str,
    OWNER,
    Permission.FILES,
    summary="Gives an upload up; nothing of it remains.",
)
DOWNLOAD_OPEN = Method(
    "files.download.open",
    DownloadParams,
    Download,
    OWNER,
    Permission.READ,
    summary="Begins a download; the content follows on a topic.",
)
DOWNLOAD_CHECKSUM = Method(
    "files.download.checksum",
    TransferParams,
    Checksum,
    OWNER,
    Permission.READ,
    deadline=None,
    summary="The checksum of the whole file of a download, if that has not changed meanwhile.",
)
DOWNLOAD_CLOSE = Method(
    "files.download.close",
    TransferParams,
    str,
    OWNER,
    Permission.READ,
    summary="Ends a download.",
)
FILELIST_CHANGED = Notification(
    "notify_filelist_changed",
    "A file or folder of a root has changed, through the API or otherwise; gcode is announced with its metadata ready.",
    tuple[Changed],
)
