"""When a study that came in is taken."""

from __future__ import annotations

import time
from pathlib import Path

from scanweave.pipeline.node.config import Taking
from scanweave.pipeline.node.node_ledger import Arrival, NodeLedger
from scanweave.pipeline.study import inspect


class Readiness:
    """Judges arrivals; `incoming` holds a folder for each study, `bundle` says which roles there are."""

    def __init__(self, config: Taking, incoming: Path, bundle: str, ledger: NodeLedger) -> None:
        self.config, self.incoming, self.bundle, self.ledger = config, incoming, bundle, ledger

    def is_ready(self, arrival: Arrival) -> bool:
        """Forced, quiet for long, or quiet for a while with a series for every role."""
        quiet_s = time.time() - arrival.latest
        if arrival.forced or quiet_s >= self.config.quiet_s:
            return True
        return quiet_s >= self.config.complete_quiet_s and self._is_complete(arrival)

    def _is_complete(self, arrival: Arrival) -> bool:
        """Looked up once for each number of images."""
        if arrival.looked_at == arrival.images:
            return arrival.complete
        try:
            found = inspect(self.incoming / arrival.study, bundle=self.bundle)
            complete = found.selection is not None and len(found.roles) == len(found.selection.assigned)
        except Exception:  # damaged headers raise anything; when it is taken, the study is refused with a code
            complete = False
        self.ledger.note_look(arrival.study, arrival.images, complete=complete)
        return complete
