"""A Hugging Face Hub on this machine's loopback address: the requests that huggingface_hub makes, over local files.

`Hub({"datasets/OWNER/NAME": {"file.zip": path}})` serves on a free port; `hub.sent` counts the body bytes of downloads.
Usable alone: python tests/loopback.py datasets/OWNER/NAME FILE=PATH ... prints the endpoint and serves until killed.
"""

import base64
import json
import os
import re
import sys
import threading
import urllib.parse
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """repos: {"datasets/OWNER/NAME" or "OWNER/NAME": {path in the repo: local path or bytes}}."""

    def __init__(self, repos: dict[str, dict[str, object]]):
        self.repos, self.sent, self.requests, self.headers, self.uploads = repos, 0, [], [], {}
        self.token, self.private, self.refused = "", set(), {}  # who may write; private repos; {part of a POST's path: status to answer}
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path | str) -> dict[str, str]:
        """What a process needs to talk to this Hub and to nothing else."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments):
        pass

    def answer(self, status: int, body: bytes = b"", headers: dict | None = None, length: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": len(body) if length is None else length, "Connection": "close", **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def refuse(self, code: str):
        self.answer(404, json.dumps({"error": code}).encode(), {"X-Error-Code": code, "X-Error-Message": code})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        self.hub.requests.append((self.command, path))
        self.hub.headers.append(dict(self.headers))
        if match := re.fullmatch(r"/api/(?:(datasets)|models)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/.*)?)?", path):
            kind, name, verb, revision = match.groups()
            return self.describe(f"datasets/{name}" if kind else name, verb, revision or "main")
        if match := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve(*match.groups())
        self.answer(200 if path == "/" else 404)

    def describe(self, repo: str, verb: str | None, revision: str):
        files = self.hub.repos.get(repo)
        if files is None:
            return self.refuse("RepoNotFound")
        if verb == "tree":
            body = [{"type": "file", "path": p, "size": _size(s), "oid": _etag(p, s)} for p, s in files.items()]
        else:
            body = {"id": repo.removeprefix("datasets/"), "sha": commit_of(revision), "private": repo in self.hub.private,
                    "siblings": [{"rfilename": p} for p in files]}
        self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def resolve(self, repo: str, revision: str, path: str):
        files = self.hub.repos.get(repo)
        if files is None or path not in files:
            return self.refuse("RepoNotFound" if files is None else "EntryNotFound")
        source, size = files[path], _size(files[path])
        headers = {"X-Repo-Commit": commit_of(revision), "ETag": f'"{_etag(path, source)}"', "Accept-Ranges": "bytes"}
        start, stop, status = 0, size, 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop, status = int(match[1]), min(size, int(match[2] or size - 1) + 1), 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        body = _read(source, start, stop) if self.command == "GET" else b""
        self.hub.sent += len(body)
        self.answer(status, body, headers, stop - start)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_PUT(self):
        body = self.body()
        self.hub.requests.append(("PUT", self.path))
        whole = self.path == f"/lfs/{sha256(body).hexdigest()}"
        if whole:
            self.hub.uploads[self.path.removeprefix("/lfs/")] = body
        self.answer(200 if whole else 400)

    def write(self, body: bytes):
        """The requests of create_repo and create_commit, in the order in which the client sends them."""
        if self.path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}" or not self.hub.token:
            return self.answer(401)
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            return self.json({"files": [{"path": name, "shouldIgnore": False,
                                         "uploadMode": "lfs" if name.endswith(".safetensors") else "regular"} for name in names]})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            return self.json({"objects": [{**row, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{row['oid']}"}}}
                                          for row in json.loads(body)["objects"]]})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            return self.commit(match[1], [json.loads(line) for line in body.splitlines()])
        self.answer(404)

    def json(self, value, status: int = 200):
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def create(self, wanted: dict):
        repo = f"{wanted['organization']}/{wanted['name']}"
        if repo in self.hub.repos:
            return self.json({"url": f"{self.hub.endpoint}/{repo}"}, 409)
        self.hub.repos[repo] = {}
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repo)
        self.json({"url": f"{self.hub.endpoint}/{repo}"})

    def commit(self, repo: str, lines: list[dict]):
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        self.hub.repos[repo].update(files)
        self.json({"success": True, "commitOid": COMMIT, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{COMMIT}"})

    def do_POST(self):
        body = self.body()
        self.hub.requests.append(("POST", self.path))
        self.hub.headers.append(dict(self.headers))
        if status := next((status for start, status in self.hub.refused.items() if start in self.path), None):
            return self.answer(status)
        if match := re.fullmatch(r"/api/(?:(datasets)|models)/([^/]+/[^/]+)/paths-info/([^/]+)", self.path):
            kind, name, _ = match.groups()
            files = self.hub.repos.get(f"datasets/{name}" if kind else name, {})
            fields = urllib.parse.parse_qs(body.decode())
            wanted = fields.get("paths") or json.loads(body or b"{}").get("paths", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            rows = [{"type": "file", "path": p, "size": _size(files[p]), "oid": _etag(p, files[p])} for p in wanted if p in files]
            return self.json(rows)
        self.write(body)


def commit_of(revision: str) -> str:
    """The 40 digits of a branch, an abbreviated commit or a whole one: every commit that is asked for exists here."""
    return revision + COMMIT[len(revision):] if re.fullmatch("[0-9a-f]{7,40}", revision) else COMMIT


def _size(source) -> int:
    return len(source) if isinstance(source, bytes) else os.path.getsize(source)


def _etag(path: str, source) -> str:
    return sha256(f"{path}:{_size(source)}".encode()).hexdigest()


def _read(source, start: int, stop: int) -> bytes:
    if isinstance(source, bytes):
        return source[start:stop]
    with open(source, "rb") as file:
        file.seek(start)
        return file.read(stop - start)


if __name__ == "__main__":
    served = Hub({sys.argv[1]: dict(pair.split("=", 1) for pair in sys.argv[2:])})
    print(served.endpoint, flush=True)
    threading.Event().wait()
