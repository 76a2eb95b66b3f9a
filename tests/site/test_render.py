from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from dynatlas.claims.verdicts import VERDICTS
from dynatlas.site.ancestry import ancestry_svg
from dynatlas.site.content import Ancestor, GuideLink
from dynatlas.site.render import MEANING, claim_views, render_index, render_study
from dynatlas.site.thumbnail import thumbnail

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balanced(HTMLParser):
    """Notes tags that are closed in the wrong order, and keeps text and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    parser = Balanced()
    parser.feed(html)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def pages(ledger, links, page):
    return {"index": render_index(ledger, links), "study": render_study(page)}


@pytest.mark.parametrize("name", ["index", "study"])
def test_tags_are_balanced_and_ids_unique(pages, name):
    document = parsed(pages[name])
    assert document.faults == []
    assert document.open == []
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["index", "study"])
def test_nothing_is_fetched(pages, name):
    for tag, attributes in parsed(pages[name]).tags:
        if tag != "a":
            assert not re.match(r"(https?:)?//", attributes.get("src") or attributes.get("href") or "")
    assert not re.search(r"@import|url\(", pages[name])


def test_every_picture_has_words(pages):
    for tag, attributes in parsed(pages["study"]).tags:
        if tag == "img":
            assert "Mean over 8 seeds with 95 % intervals; chance is 0.1." in attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_same_content_same_bytes(pages, ledger, links, page):
    assert render_index(ledger, links) == pages["index"]
    assert render_study(page) == pages["study"]


def test_text_is_escaped(pages):
    for html in pages.values():
        assert "<of separate networks>" not in html
        assert "&lt;of separate networks&gt;" in html


def test_index_counts_agree_with_the_ledger(pages, ledger):
    text = " ".join("".join(parsed(pages["index"]).text).split())
    claims = [row for row in ledger["rows"] if row["part_of"] is None]
    assert f"{len(claims)} claims" in text
    for verdict in VERDICTS:
        assert f"{sum(row['verdict'] == verdict for row in claims)} {verdict}" in text
    assert "1 of 11 controls passed" in text
    assert "This ledger is partial: nothing here of ptd" in text


def test_guides_are_linked_with_their_notebooks_where_there_are_any(pages, ledger, links):
    assert "Guides" not in pages["index"]
    html = render_index(ledger, links, guides=[GuideLink("On <your> networks", "guides/own.html")])
    document = parsed(html)
    assert document.faults == []
    assert {"guides/own.html", "guides/own.ipynb"} <= {attributes.get("href") for _, attributes in document.tags}
    assert "On <your> networks" in "".join(document.text)


def test_front_page_shows_a_small_picture_of_each_study_that_has_one(pages, picture):
    (shown,) = [attributes for tag, attributes in parsed(pages["index"]).tags if tag == "img"]
    assert shown["alt"] == "Accuracy <of all>. Mean over 8 seeds; chance is .1."
    small = b64decode(shown["src"].removeprefix("data:image/png;base64,"))
    assert int.from_bytes(small[16:20], "big") == 640
    assert len(small) < len(picture) / 2
    assert thumbnail(small) == thumbnail(small)


def test_a_picture_that_is_small_already_is_not_blown_up(picture):
    small = thumbnail(picture, width=100)
    assert thumbnail(small)[16:24] == small[16:24]


def test_every_verdict_occurs_and_is_explained(ledger, pages):
    assert {row["verdict"] for row in ledger["rows"]} == set(VERDICTS) == set(MEANING)
    for meaning in MEANING.values():
        assert meaning in pages["index"]


def test_a_page_shows_what_its_claims_say(pages, page):
    text = "".join(parsed(pages["study"]).text)
    for row in page.rows:
        assert row["says"] in text
        assert (row["reason"] or "") in text
    for wanted in ("100 times fewer", "strategy: RES in place of strategy: MP", page.command, page.figures[0].command):
        assert wanted in text
    assert page.rows[0]["claim_hash"][:16] in text


def test_parts_stand_under_their_claim(ledger):
    views = claim_views(ledger["rows"])
    assert [view["row"]["id"] for view in views[:2]] == ["C1", "C2"]
    assert [part["row"]["id"] for part in views[0]["parts"]] == ["C1.level", "C1.sep", "C1.res"]


def cells(view):
    (at,) = view["scales"]
    return at["verdict"], at.get("otherwise")


def test_what_a_kept_ledger_says_stands_beside_each_claim_and_part(ledger, kept):
    views = {view["row"]["study"] + view["row"]["id"]: view for view in claim_views(ledger["rows"], [kept])}
    assert cells(views["task-primitivesC1"]) == ("reproduced", False)
    assert [cells(part) for part in views["task-primitivesC1"]["parts"]] == [("reproduced", False)] * 3
    assert cells(views["task-primitivesC2"]) == ("contradicted", False)
    assert cells(views["task-primitivesC3"]) == (kept.rows["C3"]["verdict"], True)
    assert cells(views["task-primitivesC10"]) == (None, None)  # new since
    assert cells(views["lyapunovC3"]) == (None, None)  # another study's


@pytest.mark.parametrize("name", ["index", "study"])
def test_pages_say_what_a_kept_ledger_was_made_by(pages, kept, name):
    text = " ".join("".join(parsed(pages[name]).text).split())
    assert f"standard of task-primitives: kept in docs/ledgers, {kept.about}" in text
    contradicted = sum(row["verdict"] == "contradicted" for row in kept.rows.values())
    assert text.count("at standard contradicted") == contradicted == 3
    assert text.count("the claim asked otherwise then") == 1


def test_front_page_counts_the_verdicts_of_kept_ledgers(pages):
    item = pages["index"].partition("at standard</small>")[2].partition("</li>")[0]
    counts = re.findall(r'title="([a-z ]+)".*?</svg> (\d+)', item)
    assert dict(counts)["contradicted"] == "3"


def test_seeds_and_base_seed_stand_above_the_table(pages):
    text = {name: html.partition('<table class="claims"')[0] for name, html in pages.items()}
    assert "scale quick; base seed 7; 8 seeds (100 to 107): task-primitives" in text["study"]
    assert "8 seeds (100 to 107): task-primitives; 5 seeds (100 to 104): lyapunov" in text["index"]


def test_summaries_count_apart_what_verdicts_rest_on_and_name_what_is_not_as_locked(pages, ledger):
    text = " ".join("".join(parsed(pages["index"]).text).split())
    kinds = [row["rests_on"] for row in ledger["rows"] if row["part_of"] is None]
    assert len(set(kinds)) > 1
    for kind in set(kinds):
        assert f"{kinds.count(kind)} rest on {kind}:" in text
    assert "2 of 13 claims are not as config/claims.lock has them: task-primitives C3, lyapunov C3" in text
    assert pages["index"].count(">not as locked<") == 2
    assert pages["study"].count(">not as locked<") == 1


def test_pages_without_kept_ledgers_have_no_such_column(ledger, links, page):
    bare = [render_index(ledger, [replace(link, kept=()) for link in links]), render_study(replace(page, kept=()))]
    assert not any("standard" in html for html in bare)


def test_where_a_statement_stands_and_the_papers_own_figure_are_beside_it(pages):
    for html in pages.values():
        text = " ".join("".join(parsed(html).text).split())
        assert "source: abstract; the paper's own figure: 100 times fewer (figure 3)" in text


def test_a_part_without_an_effect_is_shown_all_the_same(ledger, page):
    gone = {"effect": None, "low": None, "high": None, "control_effect": None}
    rows = [row if row["part_of"] is None else {**row, **gone} for row in ledger["rows"]]
    of_page = [row for row in rows if row["study"] == page.study]
    assert any(row["part_of"] for row in of_page)
    shown = render_study(replace(page, rows=of_page))
    assert all(row["id"] in shown for row in of_page)


def test_a_paper_without_identifiers_and_a_study_without_figures(page):
    bare = replace(page, paper={"title": "T", "authors": "A", "year": 1999}, figures=[], readme="", rows=[])
    assert "arxiv" not in render_study(bare).lower()


GRAPH = (
    Ancestor("images", "data", (), 'digits, 8 x 8 "small"'),
    Ancestor("net", "train", ("images",)),
    Ancestor("spectrum", "measure", ("net",)),
    Ancestor("direct", "measure", ("images",)),
    Ancestor("fig<1>", "figures", ("spectrum", "direct")),
)


def test_ancestry_draws_every_node_and_every_need():
    svg = ElementTree.fromstring(ancestry_svg(GRAPH))
    texts = [e.text for e in svg.iter("text")]
    assert texts == ["data", "images", "run", "net", "table", "spectrum", "table", "direct", "figure", "fig<1>"]
    assert len([e for e in svg.iter("path") if e.get("class") == "edge"]) == 5
    assert "figure fig<1> from spectrum, direct" in svg.get("aria-label")


def test_ancestry_runs_from_left_to_right_without_overlap():
    svg = ElementTree.fromstring(ancestry_svg(GRAPH))
    boxes = {g.findall("text")[1].text: g.find("rect").attrib for g in svg.iter("g")}
    place = {name: [float(b[key]) for key in ("x", "y", "width", "height")] for name, b in boxes.items()}
    for node in GRAPH:
        for need in node.needs:
            assert place[need][0] + place[need][2] < place[node.name][0]
    names = list(place)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            (ax, ay, aw, ah), (bx, by, bw, bh) = place[one], place[other]
            assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
    width, height = float(svg.get("width")), float(svg.get("height"))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in place.values())


def test_ancestry_names_a_node_that_is_not_there():
    with pytest.raises(KeyError, match="nowhere"):
        ancestry_svg([Ancestor("f", "figures", ("nowhere",))])


def test_several_kept_ledgers_are_folded_and_say_how_many_are_of_earlier_code(ledger, links, kept):
    two = [replace(links[0], kept=[kept, replace(kept, study="lyapunov", since="")]), *links[1:]]
    document = parsed(render_index(ledger, two))
    assert document.faults == []
    text = " ".join("".join(document.text).split())
    assert "docs/ledgers: 2 ledgers of other scales, 1 of them made by what has changed since" in text


def test_where_no_claim_is_as_locked_the_page_says_why_instead_of_listing_all(ledger, links):
    rows = [{**row, "locked": "changed"} for row in ledger["rows"]]
    text = " ".join("".join(parsed(render_index({**ledger, "rows": rows}, links)).text).split())
    assert "None of these claims is as config/claims.lock has it" in text


def test_numbers_stand_with_meaning_unit_and_value(page):
    shown = render_study(page)
    assert "<td><code>world.dt</code></td><td>time &lt; step</td><td>ms</td><td></td><td>100</td>" in shown
    assert 'id="numbers"' not in render_study(replace(page, numbers=()))
