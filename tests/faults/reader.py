"""A reader that polls `latest` all the time, and checks that it always sees one whole version."""

import hashlib
import json
import threading
from typing import Self

from transforms.storage import files, objects
from transforms.storage.stores import ObjectOptions

_PAUSE = 0.02
#: A store's emulator is busy with each file for as long as a disk with a whole version.
_STORE_PAUSE = 0.5


class Reader:
    """While it is open, reads what `latest` names, over and over."""

    def __init__(self, output: str, options: ObjectOptions = files.DEFAULTS) -> None:
        self._output = output
        self._options = options
        self._pause = _STORE_PAUSE if objects.is_remote(output) else _PAUSE
        #: What is seen is noted in the order in which it was.
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        #: Versions in the order in which they were seen.
        self.seen: list[str] = []
        self.reads = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                self.read()
            except Exception as error:
                self.wrong.append(repr(error))

    def read(self) -> None:
        """Reads once; raises where something isn't as it should be."""
        with self._turn:
            self._read_version()

    def _read_version(self) -> None:
        text = self._read("latest").decode()
        name = text.removesuffix("\n")
        assert text == f"{name}\n" != "\n", f"latest holds {text!r}"
        manifest = json.loads(self._read(f"versions/{name}/manifest.json"))
        assert manifest["version"] == name
        for split in manifest["splits"].values():
            for shard in split["shards"]:
                data = self._read(f"versions/{name}/{shard['path']}")
                assert len(data) == shard["bytes"], shard["path"]
                assert hashlib.sha256(data).hexdigest() == shard["sha256"], shard["path"]
        self.reads += 1
        if not self.seen or self.seen[-1] != name:
            self.seen.append(name)

    def _read(self, path: str) -> bytes:
        return files.read_file(f"{self._output}/{path}", self._options)
