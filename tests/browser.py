"""Pages in a real browser without a network, for tests of what the package writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: WebGL in software; root may not use the sandbox; and nothing that calls its maker.
_FLAGS = (
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LOCAL = ("data:", "blob:", "about:")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none, unless PROVIS_FAST_BROWSER=required."""
    named = os.environ.get("PROVIS_FAST_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, _NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        reason = "no browser: install chromium and playwright (PROVIS_FAST_CHROMIUM names another)"
        if os.environ.get("PROVIS_FAST_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page opened from disk, with the network off.

    Attributes
    ----------
    page : Page
        Playwright's.
    errors : list of str
        What the console called an error, and exceptions.
    requests : list of str
        Addresses outside of the file itself that the page asked for.
    """

    def __init__(self, browser: Browser, path: Path, width: int, height: int):
        self.context = browser.new_context(
            offline=True, viewport={"width": width, "height": height}, accept_downloads=True
        )
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._on_request)
        self._own = path.resolve().as_uri()
        self.page.goto(self._own)

    def _on_console(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _on_request(self, request) -> None:
        address = request.url.partition("#")[0]
        if address != self._own and not address.startswith(_LOCAL):
            self.requests.append(address)

    def check(self) -> None:
        """Nothing went wrong so far, and nothing was asked of anybody else."""
        assert self.errors == []
        assert self.requests == []


@contextmanager
def visit(browser: Browser, path: Path, width: int = 1280, height: int = 900) -> Iterator[Visit]:
    """Open a file, and see in the end that it was quiet."""
    opened = Visit(browser, path, width, height)
    try:
        yield opened
        opened.check()
    finally:
        opened.context.close()
