"""`node resend`: what was not delivered is tried again, by the node that runs or by the next one."""

from __future__ import annotations

import shutil
from contextlib import suppress

from scanweave.pipeline.node.config import NodeConfig
from scanweave.pipeline.node.delivery_ledger import Sending
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.setback import undelivered_folder


def resend_undelivered(config: NodeConfig, name: str | None = None) -> int:
    """Queue the undelivered results of one study's version, or all of them; how many deliveries.

    Raises
    ------
    EnvironmentFailure
        LEDGER_INVALID, OUTPUT_UNWRITABLE.
    """
    ledger = NodeLedger(config.folder)
    try:
        return resend(ledger, config, name)
    finally:
        ledger.close()


def resend(ledger: NodeLedger, config: NodeConfig, name: str | None) -> int:
    """The same with a ledger that is open."""
    again = [item for item in ledger.deliveries(Sending.UNDELIVERED) if name in (None, item.name)]
    count = ledger.resend(name)
    for item in again:
        place = undelivered_folder(config, item.name, item.destination)
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # another destination's are there
            place.parent.rmdir()
    return count
