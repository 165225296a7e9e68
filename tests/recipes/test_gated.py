"""A gated model, asked of a stand-in of the hub that answers as the hub does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.mood import write_suite

PAGE = "https://huggingface.co/meta-llama/Small-1B"


class Gated(BaseHTTPRequestHandler):
    """Answers everything as the hub answers for a repository whose licence was not accepted."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to model meta-llama/Small-1B is restricted.")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  the server's name for it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the server's name for it
        """Print nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "revision", ["", pytest.param("@" + "0123456789" * 4, marks=pytest.mark.slow, id="pinned")]
)  # fmt: skip
def test_a_gated_model_names_the_page_of_its_licence(hub: str, tmp_path: Path, revision: str) -> None:
    write_suite(tmp_path / "mood")
    recipe = tmp_path / "mood" / "lora.yaml"
    recipe.write_text(recipe.read_text().replace("slmcheck/tiny", f"meta-llama/Small-1B{revision}"))
    settings = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": "hf_secret"}
    ran = subprocess.run(
        [sys.executable, "-c", "from slmcheck.cli import main; raise SystemExit(main())", "train", "mood/lora.yaml"],
        cwd=tmp_path,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("HF_")}, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (2, 3)
    assert PAGE in ran.stderr
    assert "is gated, and this machine has no access to it" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "hf_secret" not in ran.stdout + ran.stderr
