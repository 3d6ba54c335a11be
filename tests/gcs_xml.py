"""gcp-storage-emulator with the XML API that obstore speaks, beside its own JSON API.

Run by the emulator's Python: `python gcs_xml.py start --port …`. Written from
https://cloud.google.com/storage/docs/xml-api/reference-methods.
"""

import hashlib
import itertools
import re
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from gcp_storage_emulator import __main__, server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.objects import _checksums, _make_object_resource
from gcp_storage_emulator.storage import Storage

_JSON = re.compile(r"/((upload|download|batch)/)?storage/v1(/.*)?|/b(/.*)?|/wipe|/")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE = 100
_lock = threading.Lock()
_uploads: dict[str, dict[int, bytes]] = {}
_numbers = itertools.count(1)


class _Error(Exception):
    """An answer that says why not."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Handler(server.RequestHandler, BaseHTTPRequestHandler):
    """Answers XML requests by itself and leaves all others to the emulator."""

    def _answer(self) -> bool:
        url = urlsplit(self.path)
        if _JSON.fullmatch(url.path) or self.headers.get("x-goog-resumable"):
            return False
        bucket, _, key = unquote(url.path[1:]).partition("/")
        query = {
            name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()
        }
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            if self.storage.get_bucket(bucket) is None:
                raise _Error(HTTPStatus.NOT_FOUND, "NoSuchBucket")
            if not key:
                self._list(bucket, query)
            elif "upload_id" in query or "uploadId" in query or "uploads" in query:
                self._multipart(bucket, key, query, body)
            else:
                getattr(self, f"_{self.command.lower()}")(bucket, key, body)
        except NotFound:
            self._fail(_Error(HTTPStatus.NOT_FOUND, "NoSuchKey"))
        except _Error as error:
            self._fail(error)
        return True

    def _fail(self, error: _Error) -> None:
        self._send(error.status, {}, f"<Error><Code>{error.code}</Code></Error>".encode())

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        """A page of a listing, version 2."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        files, prefixes = self.storage.get_file_list(bucket, prefix or None, delimiter or None)
        after = query.get("continuation-token", query.get("start-after", ""))
        files = sorted((f for f in files if f["name"] > after), key=lambda file: file["name"])
        token = files[_PAGE - 1]["name"] if len(files) > _PAGE else ""
        more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
        contents = "".join(
            f"<Contents><Key>{escape(file['name'])}</Key><Size>{file['size']}</Size>"
            f"<LastModified>{file['updated']}</LastModified>"
            f"<ETag>{escape(_etag(file))}</ETag></Contents>"
            for file in files[:_PAGE]
        )
        if "continuation-token" in query:
            prefixes = []
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            for name in sorted(prefixes)
        )
        document = f"<ListBucketResult>{more}{contents}{common}</ListBucketResult>"
        self._send(HTTPStatus.OK, {"Content-Type": "application/xml"}, document.encode())

    def _get(self, bucket: str, key: str, _: bytes) -> None:
        file = self.storage.get_file_obj(bucket, key)
        data = self.storage.get_file(bucket, key)
        status, headers = HTTPStatus.OK, _headers(file)
        if asked := _RANGE.fullmatch(self.headers.get("Range", "")):
            start, stop = int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data))
            if start >= len(data):
                raise _Error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange")
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            status, data = HTTPStatus.PARTIAL_CONTENT, data[start:stop]
        self._send(status, headers, data)

    _head = _get

    def _put(self, bucket: str, key: str, body: bytes) -> None:
        if source := self.headers.get("x-goog-copy-source"):
            body = self.storage.get_file(*unquote(source).lstrip("/").split("/", 1))
        self._send(HTTPStatus.OK, _headers(self._store(bucket, key, body)))

    def _store(self, bucket: str, key: str, body: bytes) -> dict:
        if wanted := self.headers.get("x-goog-if-generation-match"):
            try:
                generation = self.storage.get_file_obj(bucket, key)["generation"]
            except NotFound:
                generation = "0"
            if generation != wanted:
                raise _Error(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        kind = self.headers.get("Content-Type", "application/octet-stream")
        file = _make_object_resource("", bucket, key, kind, str(len(body)))
        self.storage.create_file(bucket, key, body, _checksums(body, file))
        return file

    def _delete(self, bucket: str, key: str, _: bytes) -> None:
        self.storage.delete_file(bucket, key)
        self._send(HTTPStatus.NO_CONTENT, {})

    def _multipart(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = str(next(_numbers))
            _uploads[upload] = {}
            document = (
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
            self._send(HTTPStatus.OK, {}, document.encode())
            return
        upload = query["uploadId"]
        if self.command == "PUT":
            _uploads[upload][int(query["partNumber"])] = body
            self._send(HTTPStatus.OK, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        elif self.command == "DELETE":
            _uploads.pop(upload, None)
            self._send(HTTPStatus.NO_CONTENT, {})
        else:
            parts = _uploads.pop(upload)
            file = self._store(bucket, key, b"".join(parts[number] for number in sorted(parts)))
            document = (
                f"<CompleteMultipartUploadResult><ETag>{escape(_etag(file))}</ETag>"
                "</CompleteMultipartUploadResult>"
            )
            self._send(HTTPStatus.OK, _headers(file), document.encode())

    def do_GET(self) -> None:
        with _lock:  # the emulator itself knows no threads
            self._answer() or super().do_GET()

    def do_POST(self) -> None:
        with _lock:
            self._answer() or super().do_POST()

    def do_PUT(self) -> None:
        with _lock:
            self._answer() or super().do_PUT()

    def do_DELETE(self) -> None:
        with _lock:
            self._answer() or super().do_DELETE()

    def do_HEAD(self) -> None:
        with _lock:
            self._answer()


def _etag(file: dict) -> str:
    return f'"{file["etag"]}"'


def _headers(file: dict) -> dict[str, str]:
    updated = datetime.fromisoformat(file["updated"]).astimezone(UTC)
    return {
        "ETag": _etag(file),
        "Last-Modified": format_datetime(updated, usegmt=True),
        "x-goog-generation": file["generation"],
        "Content-Type": file["contentType"],
    }


if __name__ == "__main__":
    # Which is for its disk, and would be written anew with each object.
    Storage._write_config_to_file = lambda _: None
    ThreadingHTTPServer.request_queue_size = 128
    server.server.HTTPServer = ThreadingHTTPServer
    server.RequestHandler = Handler
    __main__.main()
