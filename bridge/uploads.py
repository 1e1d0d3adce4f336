"""Uploads over HTTP: multipart forms become transfers, and their answers what slicers expect."""

from typing import Any
from urllib.parse import quote

import orjson

from bus.errors import InvalidParams

from .replies import Reply
from .requests import Request
from .transfers import Transfers, Upload

CREATED = 201
ARGUMENTS = ("root", "path", "checksum", "print")


class Uploads:
    """The endpoint; the files that it makes are found below `base`."""

    def __init__(self, transfers: Transfers, base: str) -> None:
        self._transfers = transfers
        self._base = base

    async def __call__(self, request: Request, reply: Reply) -> None:
        """Answers 201 with the new file's location, or the error that kept it from being made."""
        receiving = Receiving(self._transfers, request)
        try:
            answer = await receiving.run()
        except BaseException:
            await receiving.give_up()
            raise
        item = orjson.loads(answer)["item"]
        place = f"{self._base}/{quote(item['root'])}/{quote(item['path'])}"
        await reply.whole(CREATED, answer, (b"location", request.url(place).encode()))


class Receiving:
    """One upload on its way."""

    def __init__(self, transfers: Transfers, request: Request) -> None:
        from .multipart import Form  # with the library for it, at the first upload

        self._transfers = transfers
        self._request = request
        self._parts: list[memoryview] = []
        self._form = Form(request.seen.get(b"content-type", b""), self._parts.append)
        self._upload: Upload | None = None

    async def run(self) -> bytes:
        """The answer of the agent as JSON; raises BusError."""
        async for data in self._request.stream():
            self._form.feed(data)
            await self._pass_on(end=False)
        if not self._form.complete:
            raise InvalidParams("The form ends too early")
        if self._form.filename is None:
            raise InvalidParams("The form has no file")
        upload = await self._pass_on(end=True)
        assert upload is not None  # noqa: S101 - there is a file
        return await self._transfers.commit(self._request.actor, upload, filename=self._form.filename, **self._known())

    async def give_up(self) -> None:
        """Nothing remains."""
        if self._upload is not None:
            await self._transfers.abort(self._request.actor, self._upload)

    async def _pass_on(self, *, end: bool) -> Upload | None:
        if self._upload is None and self._form.filename is not None:
            self._upload = await self._open()
        if self._upload is not None:
            for part in self._parts:
                self._upload.add(part)
            self._parts.clear()
            await self._upload.flush(end=end)
        return self._upload

    async def _open(self) -> Upload:
        near = {name: value for name, value in self._known().items() if name in ("root", "path")}
        size = {"size": self._request.length} if self._request.length is not None else {}
        return await self._transfers.open_upload(self._request.actor, filename=self._form.filename, **near, **size)

    def _known(self) -> dict[str, Any]:
        """The fields that came until now; of `print` only the word true counts."""
        found: dict[str, Any] = {name: self._form.fields[name] for name in ARGUMENTS if name in self._form.fields}
        if "print" in found:
            found["print"] = found["print"].strip().lower() == "true"
        return found
