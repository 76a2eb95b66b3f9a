from __future__ import annotations

import json
import re
import sys

import pytest

from dynatlas.site.kernel import _stable
from dynatlas.site.notebook import NotebookError, render_notebook
from dynatlas.site.pages import SITE, in_site

HEAD = """\
# %% [markdown]
# # A notebook with $x^2$

# %% tags=["parameters"]
study = "demo"
scale = "smoke"
root = "."
"""


def render(cells, tmp_path, **keywords):
    return render_notebook(
        HEAD + cells, **{"name": "demo", "parameters": {"study": "demo"}, "cwd": tmp_path, **keywords}
    )


def outputs(ipynb):
    return [output for cell in json.loads(ipynb)["cells"] for output in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    cells = """
# %%
import os, sys
print(sys.executable, os.getcwd(), scale, root)
import dynatlas.seeds

# %%
print(object(), {hash(str(i)) % 1000 for i in range(20)})
object()
"""
    folder = tmp_path_factory.mktemp("umlaut ö")
    again = [render(cells, folder, parameters={"study": "demo", "scale": "quick"}) for _ in range(2)]
    return folder, again


def test_second_run_gives_the_same_bytes(rendered):
    _, (first, second) = rendered
    assert first == second


def test_kernel_is_this_interpreter_in_the_given_folder_with_the_given_parameters(rendered):
    folder, ((ipynb, _), _) = rendered
    assert "".join(outputs(ipynb)[0]["text"]).split("\n")[0] == f"{sys.executable} {folder} quick ."


def test_nothing_unstable_is_left(rendered):
    _, ((ipynb, html), _) = rendered
    for text in (ipynb.decode(), html.decode()):
        assert not re.search(r"0x[0-9a-f]{6,}", text)
        assert "object object at 0x…" in text
    cells = json.loads(ipynb)["cells"]
    assert [cell["id"] for cell in cells] == ["cell-01", "cell-02", "cell-03", "cell-04"]
    assert all("execution" not in cell["metadata"] for cell in cells)


def test_a_picture_comes_through_unchanged():
    """Megabytes without a blank: a pattern that backtracks would never come to the end of this test."""
    picture = "data:image/png;base64," + "iVBORw0KGgo/AAA+" * 200_000
    assert _stable({"text/html": [picture]})["text/html"] == [picture]


def test_names_of_cell_files_are_taken_out():
    assert _stable("/tmp/ipykernel_4711/123.py:1: UserWarning") == "/tmp/<cell>:1: UserWarning"


def test_page_needs_no_network_and_no_script(rendered):
    _, ((_, html), _) = rendered
    page = html.decode()
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert not re.search(r"@import|url\(\s*[\"']?https?:", page)
    assert "<math" in page


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = 1\n1 / 0", "cell 3 of 4, line 2, `1 / 0`: ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('no')\n\nf()", "cell 3 of 4, line 4, `f()`: KeyError: 'no'"),
        ("def f(:\n    pass", "cell 3 of 4, line 1, `def f(:`: SyntaxError"),
    ],
)
def test_an_exception_is_named_with_its_place(tmp_path, cell, message):
    with pytest.raises(NotebookError) as caught:
        render(f"\n# %%\n{cell}\n\n# %%\nprint('never')\n", tmp_path)
    assert f"the notebook of demo, {message}" in str(caught.value)
    kinds = [output["output_type"] for output in outputs(caught.value.partial)]
    assert kinds == ["error"]


def test_a_cell_that_takes_too_long_is_named(tmp_path):
    with pytest.raises(NotebookError, match="cell 3 of 3 took longer than 1 s") as caught:
        render("\n# %%\nimport time; time.sleep(30)\n", tmp_path, timeout=1)
    assert json.loads(caught.value.partial)["cells"]


def test_a_kernel_that_dies_is_named(tmp_path):
    with pytest.raises(NotebookError, match=r"the notebook of demo, cell \d of 3: the kernel died"):
        render("\n# %%\nimport os; os._exit(9)\n", tmp_path)


@pytest.mark.parametrize(
    ("source", "parameters", "message"),
    [
        ("# %%\nx = 1\n", {"study": "demo"}, "demo: 0 cells begin with"),
        (HEAD, {"study": "demo", "sclae": "quick"}, "assigns study, scale, root, not sclae"),
        ('# %% tags=["parameters"]\nstudy = open("x")\n', {"study": "demo"}, "may only hold lines `name = literal`"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_anything_runs(tmp_path, source, parameters, message):
    with pytest.raises(NotebookError, match=re.escape(message)):
        render_notebook(source, name="demo", parameters=parameters, cwd=tmp_path)


def test_without_parameters_no_cell_needs_to_be_tagged(tmp_path):
    ipynb, page = render_notebook("# %%\n40 + 2\n", name="a guide", parameters={}, cwd=tmp_path)
    assert outputs(ipynb)[0]["data"]["text/plain"] == ["42"]
    assert "<title>Notebook: a guide</title>" in page.decode()


def test_the_page_leads_back_and_its_copy_in_the_site_does_too(tmp_path):
    links = {"dynatlas": f"{SITE}index.html", "demo": f"{SITE}demo.html"}
    _, page = render_notebook("# %%\n1\n", name="demo", parameters={}, cwd=tmp_path, links=links)
    assert re.findall(r'<a href="([^"#]+)"', page.decode()) == ["../site/index.html", "../site/demo.html"]
    assert re.findall(r'<a href="([^"#]+)"', in_site(page).decode()) == ["index.html", "demo.html"]


def test_read_only_home_is_enough(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    render("\n# %%\n1\n", tmp_path)
    assert list(home.rglob("*")) == []  # nothing is even tried: also true for root, whom no permission stops
