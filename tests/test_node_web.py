"""The node's page in Chromium, its probes, and who may do what."""

from pathlib import Path
from typing import Any

import requests
from batch_rooms import PATIENCE, add_patient, wait_until
from external_tools import chromium
from node_rooms import LOOPBACK, Node, node
from studies import SECRETS, UID

pytest_plugins = ["study_fixtures"]


def address(running: Node, path: str = "/") -> str:
    return f"http://{LOOPBACK}:{running.web_port}{path}"


def opened(browser: Any, running: Node) -> Any:
    page = browser.new_page()
    page.set_default_timeout(60_000 * PATIENCE)
    page.messages = []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.goto(address(running))
    return page


def test_what_waits_what_failed_and_the_buttons(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    good = add_patient(small_study, tmp_path / "good", 1)
    bad = [file for file in add_patient(small_study, tmp_path / "bad", 2) if not file.name.startswith("flair")]
    config = {
        "segment": {"bundle": str(small_bundle), "workers": 1},
        "taking": {"quiet_s": 900, "complete_quiet_s": 2},
    }
    with node(tmp_path, **config) as running, chromium() as browser:
        page = opened(browser, running)
        page.get_by_text("Nothing has come yet.").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused").wait_for()
        assert running.store([*good, *bad]).returncode == 0
        page.locator("#waiting td", has_text="queued").wait_for()
        assert running.state()["counts"]["running"] == 0, "paused is paused"
        page.get_by_role("button", name="Go on").click()
        page.locator("#done td.hash").wait_for()
        page.get_by_role("button", name="Take now").click()
        page.locator("#troubled td", has_text="NO_FLAIR").wait_for()
        page.get_by_role("button", name="Try again").click()
        wait_until(lambda: len(running.audit("ended")) == 3, 60)
        text = page.content()
        assert "Research use only" in text
        assert not any(secret in text for secret in SECRETS) and not UID.search(page.inner_text("main"))
        assert page.messages == [], "no error, and nothing that the policy forbids"
        said = running.log.read_text() + (running.data / "audit.jsonl").read_text()
        assert not any(secret in said for secret in SECRETS) and not UID.search(said)
        page.locator("#done td.hash a").click()
        page.wait_for_url("**/report/*")
        page.screenshot(path=str(tmp_path / "report.png"))
        assert "Research use only" in page.content()
        assert page.evaluate("self.origin") == "null", "its scripts cannot press the buttons"
        for name in ("..%2f..%2fledger.sqlite", "no-such-study", running.state()["troubled"][0]["study"]):
            assert running.ask(f"/report/{name}").status_code == 404
        asked = [entry["event"] for entry in map(dict, running.audit("asked to force"))]
        assert asked == ["asked to force"]


def test_a_token_keeps_strangers_out(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a long word\n")
    web = {"port": 0, "token_file": str(tmp_path / "token"), "stow": True}
    with node(tmp_path, web=web) as running, chromium() as browser:
        for path in ("/api/state", "/metrics"):
            assert running.ask(path).status_code == 401
            assert running.ask(path, Authorization="Bearer another").status_code == 401
            assert running.ask(path, Authorization="Bearer a long word").status_code == 200
        assert running.ask("/api/pause", {}).status_code == running.ask("/report/x").status_code == 401
        assert running.ask("/dicom-web/studies", {}).status_code == 401
        assert running.ask("/healthz").status_code == running.ask("/readyz").status_code == 200
        page = opened(browser, running)
        assert "Pause" not in page.content()
        page.get_by_label("The word").fill("not it")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("That is not it.").wait_for()
        page.get_by_label("The word").fill("a long word")
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("button", name="Pause").wait_for()
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["value"] != "a long word"


def test_other_pages_cannot_use_it(tmp_path: Path) -> None:
    """A form of somebody's page is sent without our header; a name that leads here is not ours (DNS rebinding)."""
    with node(tmp_path) as running:
        assert requests.post(address(running, "/api/pause"), timeout=10).status_code == 403
        assert not running.state()["paused"]
        assert running.ask("/api/state", Host="evil.example").status_code == 400
        assert running.ask("/api/nonsense", {}).status_code == 404
        headers = running.ask("/").headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"].split("script-src")[1].split(";")[0]
        assert running.ask("/dicom-web/studies", {}).status_code == 404, "STOW-RS is an option"


def test_metrics_are_prometheus(tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    with node(tmp_path) as running:
        found = {family.name for family in text_string_to_metric_families(running.ask("/metrics").text)}
    assert {"scanweave_instances_received", "scanweave_studies", "scanweave_studies_ended", "scanweave_deliveries",
            "scanweave_step_seconds", "scanweave_disk_free_bytes", "scanweave_info"} <= found  # fmt: skip
