"""A stand-in of GitHub's API on this machine: comments and pull requests in memory, every request recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONGEST = 65_536
"""Characters of a comment that GitHub takes."""


@dataclass
class Answer:
    """What the next requests get in place of what they asked for."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    method: str | None = None


@dataclass
class Api:
    """The state of the server."""

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path with query, body."""
    tokens: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    author: str = "github-actions[bot]"

    def comment(self, body: str, author: str = "somebody") -> None:
        """A comment that is there already."""
        number = len(self.comments) + 1
        self.comments.append({"id": number, "body": body, "user": {"login": author}, "html_url": f"https://x/{number}"})

    def methods(self) -> list[str]:
        """The methods of all requests, in order."""
        return [method for method, _, _ in self.requests]

    def handle(self, method: str, target: str, body: Any) -> tuple[int, object, dict[str, str]]:
        """The answer to a request."""
        self.requests.append((method, target, body))
        for planned in self.answers:
            if planned.times > 0 and planned.method in (None, method):
                planned.times -= 1
                return planned.status, planned.body, planned.headers
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if method == "GET":
            found = self.comments if path.endswith("/comments") else self._pulls(query)
            page, size = int(query["page"][0]), int(query["per_page"][0])
            return 200, found[(page - 1) * size : page * size], {}
        if len(body["body"]) > LONGEST:
            return 422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]}, {}
        if method == "POST":
            self.comment(body["body"], self.author)
            return 201, self.comments[-1], {}
        for comment in self.comments:
            if path.endswith(f"/comments/{comment['id']}"):
                comment["body"] = body["body"]
                return 200, comment, {}
        return 404, {"message": "Not Found"}, {}

    def _pulls(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        return [pull for pull in self.pulls if pull["from"] == query["head"][0]]


@contextmanager
def serving() -> Iterator[Api]:
    """A server for the time of a test."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            api.tokens.add(self.headers.get("authorization", ""))
            status, value, headers = api.handle(self.command, self.path, body)
            content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._any()

        def do_POST(self) -> None:
            self._any()

        def do_PATCH(self) -> None:
            self._any()

        def log_message(self, *_: object) -> None:
            """Say nothing: the requests are recorded."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    api.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
