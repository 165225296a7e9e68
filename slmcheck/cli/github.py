"""The few calls of GitHub's REST API that one comment needs; every refusal is one message."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from slmcheck import __version__
from slmcheck.errors import InputError, ServiceError
from slmcheck.reports.text import one_line

API = "https://api.github.com"
TIMEOUT_SECONDS = 20
_PER_PAGE = 100
_MOST_PAGES = 50
_MOST_BYTES = 20_000_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A comment of a pull request."""

    id: int
    body: str
    author: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Pull:
    """An open pull request."""

    number: int
    head_sha: str


class ServerError(ServiceError):
    """The service failed and may work again in a moment."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class GitHub:
    """One repository on GitHub, or on a server with the same API."""

    def __init__(self, repository: str, token: str, *, api: str = API) -> None:
        """Name a repository.

        Args:
            repository: `owner/name`.
            token: Sent to this API alone, and never shown.
            api: Address of the API; https, or http on this machine.

        Raises:
            InputError: If one of them cannot be used.
        """
        if not _REPOSITORY.fullmatch(repository):
            raise InputError(f"'{repository}' is no repository.\nExpected owner/name: --repository OWNER/NAME")
        address = urllib.parse.urlsplit(api)
        local = address.scheme == "http" and address.hostname in _LOOPBACK
        if not address.hostname or not (address.scheme == "https" or local):
            raise InputError(f"'{api}' is no address to send a token to.\nExpected https, as in --api {API}")
        if not token.strip() or not token.isascii() or any(character.isspace() for character in token.strip()):
            raise InputError(
                "There is no usable token in GITHUB_TOKEN.\n"
                "In a workflow: env: GITHUB_TOKEN: ${{ github.token }}, with permissions: pull-requests: write"
            )
        self.repository = repository
        self._api = api.rstrip("/")
        self._token = token.strip()
        self._opener = urllib.request.build_opener(_NoRedirect)

    def comments(self, number: int) -> Iterator[Comment]:
        """The comments of a pull request, oldest first.

        Raises:
            ServiceError: If the API refuses or fails.
        """
        for item in self._pages(f"/issues/{number}/comments", {}):
            user = item.get("user") or {}
            yield Comment(
                id=int(item["id"]),
                body=str(item.get("body") or ""),
                author=str(user.get("login") or ""),
                url=str(item.get("html_url") or ""),
            )

    def create_comment(self, number: int, body: str) -> str:
        """Write a new comment; gives its address.

        Raises:
            ServiceError: If the API refuses or fails.
        """
        return str(self._call("POST", f"/issues/{number}/comments", {"body": body}).get("html_url") or "")

    def update_comment(self, comment_id: int, body: str) -> str:
        """Replace the text of a comment; gives its address.

        Raises:
            ServiceError: If the API refuses or fails.
        """
        return str(self._call("PATCH", f"/issues/comments/{comment_id}", {"body": body}).get("html_url") or "")

    def open_pulls(self, owner: str, branch: str) -> tuple[Pull, ...]:
        """The open pull requests from a branch of an owner, a fork's owner included.

        Raises:
            ServiceError: If the API refuses or fails.
        """
        found = self._pages("/pulls", {"state": "open", "head": f"{owner}:{branch}"})
        return tuple(Pull(number=int(item["number"]), head_sha=str(item["head"]["sha"])) for item in found)

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for page in range(1, _MOST_PAGES + 1):
            asked = {**query, "per_page": str(_PER_PAGE), "page": str(page)}
            found = self._call("GET", f"{path}?{urllib.parse.urlencode(asked)}", None)
            if not isinstance(found, list):
                raise ServiceError(f"The API of GitHub answered {path} with no list.\nAddress: {self._api}.")
            yield from found
            if len(found) < _PER_PAGE:
                return

    def _call(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  the scheme was checked
            f"{self._api}/repos/{self.repository}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": f"slmcheck/{__version__}",
            },
        )
        what = f"{method} {path.partition('?')[0]}"
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                content = answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            self._refused(error, what)
        except (urllib.error.URLError, TimeoutError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(
                f"GitHub cannot be reached: {one_line(str(reason) or type(reason).__name__, 200)}.\n"
                f"Asked: {what} at {self._api}.\nNothing was lost: the report is whole; run the job again."
            ) from error
        try:
            return json.loads(content)
        except ValueError as error:
            raise ServerError(
                f"GitHub answered {what} with something that is no JSON.\nAddress: {self._api}.\n"
                "A proxy may stand between; check --api."
            ) from error

    def _refused(self, error: urllib.error.HTTPError, what: str) -> NoReturn:
        """Say what a status means and what to do about it.

        Raises:
            ServiceError: Always.
        """
        told = _told(error)
        where = f"Asked: {what} of {self.repository} at {self._api}."
        if error.code >= 500:
            raise ServerError(
                f"GitHub failed with status {error.code}{told}.\n{where}\n"
                "Nothing was lost: the report is whole; run the job again."
            ) from error
        if error.code in (403, 429) and _is_limited(error):
            wait = error.headers.get("retry-after")
            raise ServiceError(
                f"GitHub refuses more calls for now (status {error.code}){told}.\n{where}\n"
                f"Run the job again {f'in {wait} s' if wait and wait.isdecimal() else 'later'}."
            ) from error
        advice = _ADVICE.get(error.code, "")
        if 300 <= error.code < 400:
            advice = "The repository may have moved; a token is not sent elsewhere. Give its new name: --repository"
        raise ServiceError(
            f"GitHub refused with status {error.code}{told}.\n{where}" + (f"\n{advice}" if advice else "")
        ) from error


_ADVICE = {
    401: "The token is wrong or expired. In a workflow: env: GITHUB_TOKEN: ${{ github.token }}",
    403: (
        "The token may not write comments. Give the job permissions: pull-requests: write; the token of a fork's pull "
        "request can only read, so comment from a workflow on workflow_run."
    ),
    404: "There is no such repository or pull request, or the token cannot see it: check --repository and the number.",
    410: "Comments are closed there.",
    422: "The comment was not accepted as it is; with a locked conversation or spam protection this is permanent.",
}


def retried(work: Callable[[], str], *, retries: int, pause: Callable[[float], None] = time.sleep) -> str:
    """Do something again while the service fails, waiting 1, 2, 4 ... seconds.

    Args:
        work: What is done; looks at what is there first, so that doing it twice does no harm.
        retries: How often it is done again.
        pause: How to wait.

    Raises:
        ServiceError: Of the last attempt; refusals at once.
    """
    for attempt in range(retries):
        try:
            return work()
        except ServerError:
            pause(2.0**attempt)
    return work()


def _told(error: urllib.error.HTTPError) -> str:
    """What the API says itself, on one line."""
    try:
        value = json.loads(error.read(100_000))
        message = value.get("message") if isinstance(value, dict) else None
        details = value.get("errors") if isinstance(value, dict) else None
    except (ValueError, OSError, http.client.HTTPException):
        return ""  # a page of a proxy, or a broken answer: the status says enough
    parts = [str(message)] if message else []
    if isinstance(details, list):
        parts += [str(item.get("message") or item.get("code") or "") for item in details if isinstance(item, dict)]
    text = one_line(", ".join(part for part in parts if part), 200).rstrip(".")
    return f": {text}" if text else ""


def _is_limited(error: urllib.error.HTTPError) -> bool:
    return error.code == 429 or error.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in error.headers
