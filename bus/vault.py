"""Secrets that facts only name: hashes of passwords and keys, and signing keys, in one file of the owner's."""

import asyncio
import logging
import os
import secrets
from collections.abc import Collection
from pathlib import Path

import orjson

from .errors import HostError

log = logging.getLogger(__name__)

OWNER_ONLY = 0o600
FILE = "secrets.json"


class Vault:
    """Secrets by name; every change is on disk before it counts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self.warning: str | None = None

    def load(self) -> None:
        """Reads the file; one that cannot be read is set aside: then nobody's password or key is known. Blocks."""
        try:
            found = orjson.loads(self._path.read_bytes())
            if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
                raise ValueError("it does not hold secrets by name")
            self._known = found
            self._path.chmod(OWNER_ONLY)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.warning = f"{self._path} cannot be read ({error}): no password, login or API key is valid"
            log.error("%s", self.warning)

    def get(self, name: str | None) -> str | None:
        """A secret."""
        return None if name is None else self._known.get(name)

    async def put(self, value: str) -> str:
        """Keeps a secret and answers its name; raises HostError."""
        name = secrets.token_hex(8)
        async with self._lock:
            await self._keep(self._known | {name: value})
        return name

    async def retain(self, names: Collection[str]) -> None:
        """Forgets all secrets but these; raises HostError."""
        async with self._lock:
            kept = {name: value for name, value in self._known.items() if name in names}
            if len(kept) < len(self._known):
                await self._keep(kept)

    async def _keep(self, known: dict[str, str]) -> None:
        try:
            await asyncio.to_thread(self._write, orjson.dumps(known))
        except OSError as error:
            raise HostError(f"Secrets cannot be kept: {error.strerror}") from None
        self._known = known

    def _write(self, content: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        if self.warning is not None and self._path.exists():
            self._path.replace(self._path.with_suffix(".broken"))
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
