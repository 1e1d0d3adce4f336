"""Multipart forms as they arrive: small fields are kept, the one file is handed on."""

from collections.abc import Callable
from email.message import Message
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from bus.errors import InvalidParams, TooLarge

MAX_FIELD = 64 << 10  # bytes of one field
MAX_FIELDS = 100
CHARSETS = ("utf-8", "iso-8859-1")  # of names
NO_FORM = "The body is not a multipart form"

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

Content = Callable[[memoryview], None]


class Form:
    """The form of one request: `content` gets the bytes of its file, `fields` has the rest."""

    def __init__(self, content_type: bytes, content: Content) -> None:
        """Raises InvalidParams for what is not a multipart form."""
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.complete = False
        self._content = content
        self._field: str | None = None
        self._in_file = False
        self._value = bytearray()
        self._header, self._headers = (bytearray(), bytearray()), Message()
        self._parts = 0
        try:
            self._parser = MultipartParser(_boundary(content_type), self._callbacks())
        except FormParserError:
            raise InvalidParams(NO_FORM) from None

    def feed(self, data: bytes) -> None:
        """Takes the next bytes; raises InvalidParams and TooLarge."""
        if not data or self.complete:
            return
        try:
            self._parser.write(data)
        except FormParserError:
            raise InvalidParams(NO_FORM) from None

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._on_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_FIELDS:
            raise TooLarge(f"A form holds at most {MAX_FIELDS} fields")
        self._headers = Message()

    def _on_header(self) -> None:
        name, value = (bytes(part).decode("utf-8", "replace") for part in self._header)
        self._header = (bytearray(), bytearray())
        if name.isascii() and name:
            self._headers[name] = value

    def _on_headers(self) -> None:
        name = self._headers.get_param("name", header="content-disposition")
        filename = self._sent_name()
        if filename is None:
            self._field = name if isinstance(name, str) else ""
            return
        if self.filename is not None:
            raise InvalidParams("A form brings one file")
        self.filename, self._in_file = filename, True

    def _sent_name(self) -> str | None:
        """The name of a file; `filename*` says it better than `filename`, where .NET puts an encoded word."""
        said = self._headers.get_params([], "content-disposition")
        encoded = [value for name, value in said if name == "filename" and isinstance(value, tuple)]
        return _decoded(*encoded[0]) if encoded else self._headers.get_filename()

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            return self._content(memoryview(data)[start:end])
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD:
            raise TooLarge(f"A field of a form holds at most {MAX_FIELD} bytes")
        return None

    def _on_part_end(self) -> None:
        if self._field is not None:
            try:
                self.fields[self._field] = self._value.decode()
            except UnicodeDecodeError:
                raise InvalidParams("Fields of a form must be UTF-8") from None
        self._field, self._in_file = None, False
        self._value.clear()

    def _on_end(self) -> None:
        self.complete = True


def _decoded(charset: str | None, _language: str | None, value: str) -> str:
    """The value of an extended parameter, of which a byte each is a character; raises InvalidParams."""
    try:
        if (charset or "utf-8").lower() not in CHARSETS:
            raise InvalidParams("The name of a file is in UTF-8")
        return value.encode("latin-1").decode(charset or "utf-8")
    except UnicodeError:
        raise InvalidParams("The name of a file is not in the character set that it names") from None


def _boundary(content_type: bytes) -> bytes:
    header = Message()
    header["content-type"] = content_type.decode("latin-1")
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise InvalidParams("An upload is a multipart form")
    return boundary.encode("latin-1")
