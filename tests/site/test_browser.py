"""Opens the pages in a real browser, from files: no complaint, no outside request, visible figures, phone width."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from dynatlas.site.notebook import render_notebook
from dynatlas.site.pages import SITE, in_site
from dynatlas.site.render import render_index, render_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]


class Browser:
    """Chromium's DevTools protocol over its pipe: messages are JSON ended by a zero byte, on descriptors 3 and 4."""

    def __init__(self, profile):
        (child_in, write), (read, child_out) = os.pipe(), os.pipe()
        command = f'exec "$@" 3<&{child_in} 4>&{child_out}'
        arguments = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "browser", *arguments],
            pass_fds=(child_in, child_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_in)
        os.close(child_out)
        self.write, self.read, self.buffer, self.number, self.events = write, read, b"", 0, []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self, seconds=60):
        deadline = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self.read, 1 << 20)
            assert chunk, "the browser has gone"
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, *, width=1200, media="screen", scheme="light"):
        """Load a file at a width; what happened meanwhile is in `events`."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        assert "errorText" not in self.call("Page.navigate", url=path.as_uri()), f"{path} cannot be opened"
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        self.evaluate("new Promise(done => setTimeout(done, 50))")

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self):
        """Everything that the console would show in red or yellow."""
        found = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
                found.append(str(parameters["args"]))
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
        return found

    def requests(self):
        """Addresses asked for, apart from data held in the page itself."""
        sent = [event["params"]["request"]["url"] for event in self.events if event.get("method") == SENT]
        return [url for url in sent if not url.startswith("data:")]

    def close(self):
        os.close(self.write)
        os.close(self.read)
        self.process.terminate()
        self.process.wait(timeout=30)


NAV = "[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
SENT = "Network.requestWillBeSent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, ledger, links, page):
    folder = tmp_path_factory.mktemp("site mit ö")
    named = {"name": "task-primitives", "parameters": {"study": "task-primitives"}}
    back = {"dynatlas": f"{SITE}index.html", "task-primitives": f"{SITE}task-primitives.html"}
    _, notebook = render_notebook(NOTEBOOK, **named, cwd=folder, links=back)
    (folder / "index.html").write_text(render_index(ledger, links), encoding="utf-8")
    (folder / "task-primitives.html").write_text(render_study(page), encoding="utf-8")
    (folder / "task-primitives-notebook.html").write_bytes(in_site(notebook))
    return folder


NOTEBOOK = """\
# %% tags=["parameters"]
study = ""

# %% [markdown]
# # Title $x^2$
# $$ y = a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 + a_{10} + a_{11} + a_{12} + a_{13} + a_{14} + a_{15} $$

# %%
{i: "x" * 200 for i in range(3)}
"""
PAGES = ["index.html", "task-primitives.html", "task-primitives-notebook.html"]


@pytest.mark.parametrize("name", PAGES)
def test_no_complaint_and_no_outside_request(browser, site, name):
    browser.open(site / name)
    assert browser.complaints() == []
    assert browser.requests() == [(site / name).as_uri()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 820])
def test_no_sideways_scrolling(browser, site, name, width):
    browser.open(site / name, width=width)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("name", "wide"), [("task-primitives.html", 2), ("task-primitives-notebook.html", 1)])
def test_wide_formulas_scroll_inside_and_small_ones_do_not(browser, site, name, wide):
    browser.open(site / name, width=360)
    boxes = "[...document.querySelectorAll('.math')].map(m => m.scrollWidth > m.clientWidth)"
    assert browser.evaluate(boxes).count(True) == wide
    browser.open(site / name, width=1200)
    assert browser.evaluate(boxes).count(True) == 0


def test_a_formula_stands_on_the_line_of_its_text(browser, tmp_path, page):
    """Its box scrolls, and a box that scrolls may lose the text's baseline."""
    text = "a <span id='word'>x</span> $x$ b $x = a_{1} + b$ c"
    (tmp_path / "line.html").write_text(render_study(replace(page, readme=text)), encoding="utf-8")
    browser.open(tmp_path / "line.html")
    bottoms = browser.evaluate(
        "[...document.querySelectorAll('#word, #readme + .prose mi')].map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) > 3
    assert max(bottoms) - min(bottoms) < 8


def test_figures_are_visible(browser, site):
    browser.open(site / "task-primitives.html")
    widths = browser.evaluate("[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width])")
    assert len(widths) == 2
    assert all(natural == 1440 and shown > 600 for natural, shown in widths)


def test_every_claim_has_its_plot_or_its_parts(browser, site):
    browser.open(site / "index.html")
    shown = "[...document.querySelectorAll('.claim .plot')].map(c => c.querySelectorAll('.forest line, .icon').length)"
    drawn = browser.evaluate(shown)
    assert len(drawn) == 13
    assert drawn.count(0) == 1  # the claim that this scale does not test


def visible(browser):
    return browser.evaluate(
        "[...document.querySelectorAll('.claims tbody')].filter(b => b.offsetHeight).map(b => b.id)"
    )


def test_filter_by_study_verdict_and_parts(browser, site):
    browser.open(site / "index.html")
    assert len(visible(browser)) == 13
    parts = "[...document.querySelectorAll('.part')].filter(r => r.offsetHeight).length"
    assert browser.evaluate(parts) == 0
    browser.evaluate("document.getElementById('parts').click()")
    assert browser.evaluate(parts) == 3
    browser.evaluate("document.querySelector('[value=contradicted]').click()")
    assert len(visible(browser)) == 9
    browser.evaluate("document.getElementById('study').value = 'lyapunov'")
    browser.evaluate("document.getElementById('study').dispatchEvent(new Event('input', {bubbles: true}))")
    assert visible(browser) == ["lyapunov-C7"]
    assert browser.evaluate("document.getElementById('shown').textContent") == "1 of 13 claims"


def luminance(colour):
    """WCAG 2 relative luminance of `rgb(r, g, b)`."""
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("scheme", "media"), [("light", "screen"), ("dark", "screen"), ("dark", "print")])
def test_text_stands_out_from_the_paper(browser, site, scheme, media):
    browser.open(site / "index.html", scheme=scheme, media=media)
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    inks = browser.evaluate("[...document.querySelectorAll('p, a, .verdict')].map(e => getComputedStyle(e).color)")
    assert (luminance(paper) < 0.1) == (scheme == "dark" and media == "screen")
    for ink in set(inks):
        lighter, darker = sorted((luminance(paper), luminance(ink)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, (ink, paper)


def test_links_between_pages_lead_somewhere(browser, site):
    browser.open(site / "index.html")
    links = browser.evaluate("[...document.querySelectorAll('.claims a')].map(a => a.getAttribute('href'))")
    browser.open(site / "task-primitives.html")
    anchors = browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    targets = [link.partition("#") for link in links if link.startswith("task-primitives")]
    assert len(targets) == 10
    assert all(name == "task-primitives.html" and anchor in anchors for name, _, anchor in targets)
    for own in browser.evaluate(NAV):
        assert own[1:] in anchors if own.startswith("#") else (site / own).exists()


def test_a_notebook_leads_back_to_its_study_and_the_front_page(browser, site):
    browser.open(site / "task-primitives-notebook.html")
    assert browser.evaluate(NAV) == ["index.html", "task-primitives.html"]


def test_the_browser_would_notice(browser, site, tmp_path):
    """The checks above can fail: a page with an outside picture, an exception and a wide table shows all three."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><div style='width:900px'>x</div><script>nothing()</script>")
    browser.open(bad, width=360)
    assert any("nothing is not defined" in complaint for complaint in browser.complaints())
    assert "http://127.0.0.1:9/x.png" in browser.requests()
    assert browser.evaluate("document.documentElement.scrollWidth") > 360
