"""A client of the file manager over HTTP, to whom nothing is sacred."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from tests.program import Addresses

BOUNDARY = b"form-of-a-test"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def request(where: Addresses, verb: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request; `path` goes out as it is, and names of headers have `-` for `_`."""
    url = urlsplit(where.http)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(verb, path, skip_host="Host" in sent, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in sent:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def field(name: str, value: str) -> bytes:
    """A field of a form."""
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
        BOUNDARY,
        name.encode(),
        value.encode(),
    )


def file_part(filename: str, content: bytes, *, extra: str = "") -> bytes:
    """The file of a form."""
    head = f'form-data; name="file"; filename="{filename}"{extra}'.encode()
    kind = b"Content-Type: application/octet-stream"
    return b"--%b\r\nContent-Disposition: %b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY, head, kind, content)


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + b"--%b--\r\n" % BOUNDARY


def post(where: Addresses, body: bytes, path: str = "/server/files/upload") -> Answer:
    """Sends a form."""
    return request(where, "POST", path, body, Content_Type=f"multipart/form-data; boundary={BOUNDARY.decode()}")


def upload(where: Addresses, filename: str, content: bytes = b"G28\n", **fields: str) -> Answer:
    """Uploads a file with fields in front of it."""
    return post(where, form(*(field(name, value) for name, value in fields.items()), file_part(filename, content)))


def download(where: Addresses, path: str, **headers: str) -> Answer:
    """The file `root/path`."""
    return request(where, "GET", f"/server/files/{quote(path)}", None, **headers)
