"""JSON-RPC 2.0 envelopes: requests are parsed once, answers are spliced round bytes that are already JSON."""

from typing import Any

import orjson

from .errors import BusError, InvalidArguments, InvalidRequest, ParseError, TooLarge, to_rpc

MAX_REQUEST = 1 << 20  # bytes; checked before parsing
NULL = b"null"
_RESULT = b'{"jsonrpc":"2.0","result":'
_ERROR = b'{"jsonrpc":"2.0","error":'
_ID = b',"id":'


def loads(payload: bytes) -> Any:
    """Parsed JSON; raises ParseError."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise ParseError("Parse error") from None


def dumps(value: Any) -> bytes:
    """JSON bytes; models become objects."""
    return b"%b" % orjson.dumps(value, default=_model)  # a copy: orjson's own hold on to 4 kB each


def _model(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True)


def too_large() -> TooLarge:
    """The error of a request over the limit."""
    return TooLarge(f"A request holds at most {MAX_REQUEST} bytes; send large content as a file")


def id_of(request: Any) -> bytes:
    """The id of a request as JSON bytes, `null` where it has none or one that no answer could repeat."""
    wanted = request.get("id") if isinstance(request, dict) else None
    try:
        return NULL if wanted is None else dumps(wanted)
    except orjson.JSONEncodeError:  # nested deeper than what can be written
        return NULL


def request_of(message: Any) -> tuple[str, dict[str, Any]]:
    """Method and params of a parsed request; raises InvalidRequest or InvalidArguments."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise InvalidRequest("Invalid Request")
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise InvalidArguments("Invalid params: expected an object of named arguments")
    return message["method"], params


def is_answer(message: Any) -> bool:
    """Whether a message is a client's answer to a call of ours rather than a request."""
    return isinstance(message, dict) and message.get("jsonrpc") == "2.0" and "method" not in message and "id" in message


def result(body: bytes, request_id: bytes) -> bytes:
    """A success answer."""
    return _RESULT + body + _ID + request_id + b"}"


def failure(error: BusError, request_id: bytes) -> bytes:
    """An error answer."""
    return _ERROR + orjson.dumps(to_rpc(error), default=str) + _ID + request_id + b"}"


def notification(name: str, params: list[Any] | None = None) -> bytes:
    """A `notify_*` message; without params there is no `params` member."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": name}
    if params is not None:
        message["params"] = params
    return dumps(message)


def id_at_end(answer: bytes) -> bytes:
    """The id of an answer of ours as JSON; `null` for a batch."""
    return NULL if answer.startswith(b"[") else answer[answer.rindex(_ID) + len(_ID) : -1]


def split(answer: bytes) -> tuple[int, bool, bytes]:
    """Id, success and body (JSON) of an answer to a call of ours, whose ids are integers."""
    cut = answer.rindex(_ID)
    number = int(answer[cut + len(_ID) : -1])
    if answer.startswith(_RESULT):
        return number, True, answer[len(_RESULT) : cut]
    return number, False, answer[len(_ERROR) : cut]
