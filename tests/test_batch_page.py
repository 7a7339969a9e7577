"""index.html in Chromium and summary.csv in pandas, of a ledger with every kind of row."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from external_tools import chromium
from PIL import Image
from report_pages import made_study, record_of

from scanweave.errors import Code
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.index_page import write_index_page
from scanweave.pipeline.batch.job import brief
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.summary import COLUMNS, write_summary
from scanweave.pipeline.thumbnail import write_thumbnail

HOSTILE = "<img src=x onerror=alert(1)>"


def ball() -> np.ndarray:
    x, y, z = np.ogrid[-1:1:40j, -1:1:40j, -1:1:12j]
    return (x - 0.3) ** 2 + y**2 + z**2 < 0.1


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Done, done with a flag, refused, failed, queued; the good one's name needs quoting in a link."""
    folder = tmp_path_factory.mktemp("batch page") / "out"
    folder.mkdir()
    ledger = Ledger(folder, writing=True)
    names = ["plain study#1", "flagged", "refused", "failed", "queued", "gone"]
    ledger.store_entries(1, [Entry(name, "/data", fingerprint="a") for name in names])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        ledger.lease(4)
        for name, flag in (("plain study#1", ""), ("flagged", "the T1's head is not the FLAIR's")):
            study = made_study(ball(), flag=flag)
            (folder / name).mkdir()
            write_thumbnail(folder / name / "thumbnail.jpg", study)
            (folder / name / "report.html").write_text("<!DOCTYPE html><title>report</title>")
            ledger.end(name, Outcome(State.DONE, result=brief(record_of(study))))
    ledger.end("refused", Outcome(State.REFUSED, Code.NO_FLAIR, f"none is a FLAIR {HOSTILE}"))
    ledger.end("failed", Outcome(State.FAILED, Code.CRASHED, "=cmd|' /C calc'!A0"))
    write_summary(ledger, folder)
    write_index_page(ledger, folder)
    ledger.close()
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> Iterator[Any]:
    with chromium() as browser:
        opened = browser.new_page()
        opened.messages = []
        opened.on("console", lambda message: opened.messages.append(message.text))
        opened.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.on("requestfailed", lambda request: opened.messages.append(request.url))
        opened.goto((out / "index.html").as_uri())
        yield opened


def shown(page: Any) -> list[str]:
    """The studies of the rows that are seen, in order."""
    rows = page.locator("tbody tr:visible td:nth-child(2)")
    return [text.strip() for text in rows.all_inner_texts()]


def test_what_to_look_at_comes_first(page: Any) -> None:
    assert shown(page) == ["flagged", "failed", "refused", "plain study#1", "gone", "queued"]
    assert page.locator("#shown").inner_text() == "6 of 6 shown"
    assert "Research use only, not a medical device" in page.locator("header").inner_text()
    assert "2 done" in page.locator("header").inner_text()
    row = page.locator("tbody tr", has_text="flagged").first
    assert "the T1's head is not the FLAIR's" in row.inner_text()
    assert "review" in row.inner_text()


def test_pictures_and_links_lead_to_the_studies(page: Any, out: Path) -> None:
    pictures = page.locator("tbody img")
    assert pictures.count() == 2
    page.wait_for_function("Array.from(document.images).every((image) => image.complete)")
    assert pictures.evaluate_all("images => images.map((image) => image.naturalWidth)") == [160, 160]
    page.locator("a", has_text="plain study#1").click()
    page.wait_for_load_state()
    assert page.title() == "report"
    page.go_back()


def test_filter_by_words_and_states(page: Any) -> None:
    page.fill("#words", "flair none")
    assert shown(page) == ["refused"]
    page.fill("#words", "")
    page.uncheck("input[value=queued]")
    page.uncheck("input[value=refused]")
    assert shown(page) == ["flagged", "failed", "plain study#1"]
    assert page.locator("#shown").inner_text() == "3 of 6 shown"
    page.check("input[value=queued]")
    page.check("input[value=refused]")


def test_sorting(page: Any) -> None:
    heading = page.locator("th", has_text="Study").first
    heading.locator("button").click()
    assert shown(page) == sorted(shown(page))
    heading.locator("button").click()
    assert shown(page) == sorted(shown(page), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("th", has_text="Volume").locator("button").click()
    assert set(shown(page)[:2]) == {"flagged", "plain study#1"}, "what has no volume stays below"


def test_nothing_runs_that_is_not_the_pages_own(page: Any) -> None:
    assert page.messages == []
    assert page.locator("tbody img[src=x]").count() == 0
    assert HOSTILE in page.locator("tbody").inner_text()


def test_on_a_phone_the_table_scrolls_and_not_the_page(page: Any, out: Path) -> None:
    narrow = page.context.browser.new_page(viewport={"width": 390, "height": 800})
    narrow.goto((out / "index.html").as_uri())
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
    narrow.close()


def test_summary_in_pandas(out: Path) -> None:
    table = pd.read_csv(out / "summary.csv", dtype={"study": str}).set_index("study")
    assert list(table.reset_index().columns) == list(COLUMNS)
    assert table.state.to_dict() == {"plain study#1": "done", "flagged": "done", "refused": "refused",
                                     "failed": "failed", "queued": "queued", "gone": "queued"}  # fmt: skip
    assert table.volume_ml["plain study#1"] == pytest.approx(ball().sum() * 0.02)
    assert table.flagged["flagged"] == "pre" and pd.isna(table.flagged["plain study#1"])
    assert table.substituted["flagged"] == "post"
    assert table.code["failed"] == "CRASHED"
    assert table.message["failed"].startswith("'="), "a spreadsheet must not compute it"
    assert pd.to_datetime(table.ended).notna().sum() == 4


def test_the_thumbnail_shows_the_mask_where_it_is(out: Path) -> None:
    picture = np.asarray(Image.open(out / "flagged" / "thumbnail.jpg").convert("RGB")).astype(int)
    assert picture.shape == (160, 160, 3)
    yellow = (picture[..., 0] > 180) & (picture[..., 1] > 150) & (picture[..., 2] < 110)
    rows, columns = np.nonzero(yellow)
    # Left-posterior-superior indices shown as radiologists look: the ball's centre is 0.3 of half the width to a side.
    assert abs(rows.mean() - 80) < 4 and abs(abs(columns.mean() - 80) - 24) < 4
    inside = picture[int(rows.mean()), int(columns.mean())]
    assert inside.max() - inside.min() < 30, "an outline, not a patch"


def test_of_an_empty_mask_and_of_an_uneven_grid(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -4.0, 5.0, 1.0])
    study = made_study(np.zeros((40, 20, 12), bool), affine, registered=False)
    write_thumbnail(tmp_path / "thumbnail.jpg", study)
    picture = Image.open(tmp_path / "thumbnail.jpg")
    assert picture.size == (80, 160), "40 mm by 80 mm"


def test_a_page_of_what_is_gone_from_the_disk(out: Path, tmp_path: Path) -> None:
    """Somebody has moved a result away: its row has no link that leads nowhere."""
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "flagged")
    ledger = Ledger(copy, writing=False)
    write_index_page(ledger, copy)
    ledger.close()
    html = (copy / "index.html").read_text()
    assert "flagged/report.html" not in html and "plain%20study%231/report.html" in html
