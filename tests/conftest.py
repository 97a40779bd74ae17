"""Fixtures for a real ComfyUI, as cheap as the test allows: in this process, as a live server, in a browser.

``comfy`` runs most graphs; ``server`` and ``client`` are for what needs HTTP, events or flags;
``browser_page`` for the page.
"""

import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest
import torch

from miso.tools.bootstrap import HOME
from miso.tools.bootstrap.comfyui import PACK, find
from miso.tools.bootstrap.server import Server

# how long an example takes says something about the machine and what else it does
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")

pytest_plugins = ["golden"]  # the golden fixture's model
ONE_THREAD = {"audio", "checkpoints", "codes", "generation", "model", "text", "tools", "training", "vocoders"}

seconds_by_layer: dict[str, float] = defaultdict(float)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run every case of every test")
    parser.addoption(
        "--update-interface", action="store_true", help="record the blocks' ids and sockets anew"
    )
    parser.addoption("--gpu", action="store_true", help="run the tests that need CUDA, and no others")
    parser.addoption(
        "--comfyui", metavar="DIR", help="run in this ComfyUI, which is only read, instead of the pinned copy"
    )
    parser.addoption(
        "--front-end-root",
        metavar="DIR",
        help="run servers with this frontend (comfyui_frontend_package/static of another version)",
    )


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory):
    """What is remembered on this machine stays what it is; servers inherit it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest):
    """Two OpenMP threads wait for each other longer than the small matrices of these tests take."""
    if request.path.relative_to(Path(__file__).parent).parts[0] not in ONE_THREAD:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def comfyui(pytestconfig: pytest.Config) -> Path:
    """ComfyUI's folder."""
    if chosen := pytestconfig.getoption("--comfyui"):
        return find(chosen)
    folder = HOME / "ComfyUI"
    if not folder.is_dir():
        pytest.fail("There is no ComfyUI to test in: run `python -m miso test`, which fetches one.")
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base directory of this session, with the pack in custom_nodes and tiny checkpoints in models."""
    from make_tiny import make_tiny_base

    return make_tiny_base(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recogniser, Whisper tiny.en."""
    from make_whisper import make_whisper

    return make_whisper(tmp_path_factory.mktemp("asr") / "whisper-tiny.en")


@pytest.fixture(scope="session")
def recogniser(base: Path, whisper: Path) -> str:
    """The same in ComfyUI, as Load Recogniser names it."""
    (place := base / "models" / "miso_asr").mkdir(exist_ok=True)
    (place / whisper.name).symlink_to(whisper)
    return whisper.name


@pytest.fixture(autouse=True)
def nothing_kept(request: pytest.FixtureRequest) -> None:
    """Codes that samplers keep on disk would let the next test sample nothing."""
    if "base" in request.fixturenames:
        shutil.rmtree(request.getfixturevalue("base") / "user" / "miso_store", ignore_errors=True)


@pytest.fixture(scope="session")
def comfy(comfyui, base):
    """ComfyUI in this process: ``comfy.run(prompt)``, ``comfy.value(node)``.

    Keep ``reset`` in mind: results stay cached.
    """
    from harness.in_process import InProcess

    return InProcess(comfyui, base, base / "custom_nodes" / PACK)


@pytest.fixture(scope="session")
def start_server(comfyui, base, tmp_path_factory, pytestconfig):
    """``with start_server("--cache-lru", "20") as server`` for servers with flags of their own."""

    frontend = pytestconfig.getoption("--front-end-root")
    chosen = ["--front-end-root", frontend] if frontend else []

    def start(*flags: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "comfyui.log"
        return Server(Path(sys.executable), comfyui, base, log, "--cpu", *chosen, *flags)

    return start


@pytest.fixture(scope="session")
def server(start_server):
    """A live server: ``server.url``, ``server.log``, ``server.base``."""
    with start_server() as server:
        log = server.log.read_text(encoding="utf-8", errors="replace")
        if any(PACK in line for line in log.splitlines() if "IMPORT FAILED" in line):
            pytest.fail(f"The pack does not load in ComfyUI:\n{log}")
        yield server


@pytest.fixture
def client(server):
    """``client.run(prompt)`` on the live server; also get, post, view, upload."""
    from harness.client import Client

    return Client(server.url)


@pytest.fixture(scope="session")
def browser():
    """Playwright's browser, on a Chromium that is already installed."""
    from harness.page import ARGUMENTS, find_browser

    path = find_browser()
    if not path:
        how = "There is no Chromium for the browser tests. Debian and Ubuntu: apt-get install chromium"
        pytest.fail(how) if os.environ.get("CI") else pytest.skip(how)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser_context(browser):
    """One for all pages: what a page loads is cached for the next."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    yield context
    context.close()


@pytest.fixture(scope="session")
def open_pages():
    """The page that the next test finds, if there is one."""
    return []


@pytest.fixture(autouse=True)
def no_idle_page(request, open_pages):
    """A page that nobody looks at takes a fifth of a core from other tests."""
    if "browser_page" not in request.fixturenames:
        while open_pages:
            open_pages.pop().page.close()


@pytest.fixture
def browser_page(browser_context, server, open_pages, request):
    """A page on the live server with an empty graph: the page of the test before, unless that failed."""
    from harness.page import Page

    if open_pages:
        page = open_pages.pop()
        page.reset()
    else:
        page = Page(browser_context.new_page(), server.url)
    failed = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed:
        page.page.close()
    else:
        open_pages.append(page)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {} if config.getoption("--slow") else {"slow": "runs with --slow"}
    if not torch.cuda.is_available():
        skips["gpu"] = "no CUDA here"
    for item in items:
        for marker, reason in skips.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    if config.getoption("--gpu"):
        items[:] = [item for item in items if item.get_closest_marker("gpu")]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    seconds_by_layer[report.nodeid.split("::")[0].removeprefix("tests/").split("/")[0]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fixtures count for the test that first asked for them: a server's start is part of its layer."""
    terminalreporter.section("seconds by layer")
    for layer, seconds in sorted(seconds_by_layer.items(), key=lambda entry: -entry[1]):
        terminalreporter.write_line(f"{seconds:8.1f}  {layer}")
