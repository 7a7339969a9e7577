"""`node`: a DICOM node that receives studies, segments them, and sends the results on."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from scanweave.pipeline.batch.owner import locked, owned
from scanweave.pipeline.batch.settings import BatchSettings
from scanweave.pipeline.node.commitment import Commitments
from scanweave.pipeline.node.config import NodeConfig, Segmenting
from scanweave.pipeline.node.deliver import Deliverer
from scanweave.pipeline.node.dispatch import Dispatcher
from scanweave.pipeline.node.inbox import Inbox
from scanweave.pipeline.node.intake import Intake
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.receive import Receiver
from scanweave.pipeline.node.retention import Retention
from scanweave.pipeline.node.setback import Setbacks
from scanweave.pipeline.node.tls import check_certificates
from scanweave.pipeline.node.watch import Watch
from scanweave.pipeline.node.web import WebServer
from scanweave.pipeline.result_folder import remove_unfinished
from scanweave.pipeline.segment_settings import SegmentSettings, overrides_of

ASSOCIATIONS_END_S = 30.0
"""After SIGTERM, for associations that are open."""


def run_node(config: NodeConfig, stopping: threading.Event, log: NodeLog | None = None) -> None:
    """Receive, segment and send until `stopping` is set; then what has begun may end. Not a medical device.

    Raises
    ------
    UsageError, EnvironmentFailure
        Where it cannot start: USAGE, OUTPUT_IN_USE, LISTEN_FAILED, LEDGER_INVALID, CERTIFICATE_INVALID.
    """
    settings = batch_settings(config.segment)
    overrides_of(settings.segment)
    check_certificates(config)
    folder = config.folder
    with ExitStack() as open_parts:
        open_parts.enter_context(locked(folder))
        ledger = open_parts.enter_context(owned(NodeLedger(folder), folder))
        for place in (config.incoming, config.results):
            place.mkdir(exist_ok=True)
        remove_unfinished(config.results)
        log = log or NodeLog(folder)
        inbox = Inbox(config.incoming, ledger, config.disk.least_free_gb)
        inbox.clear()
        metrics = NodeMetrics()
        metrics.watch(ledger, inbox)
        setbacks = Setbacks(config, ledger, metrics, log)
        commitments = Commitments(ledger, setbacks, metrics, log)
        intake = Intake(inbox, metrics, log)
        receiver = Receiver(config.receive, intake, commitments, log, stopping)
        retention = Retention(config, ledger, inbox, log)
        dispatcher = Dispatcher(config, settings, ledger, retention, metrics, log)
        deliverers = [
            Deliverer(config, item, ledger, commitments, setbacks, metrics, log, stopping)
            for item in config.destinations
        ]
        web = WebServer(config.web, Watch(ledger, intake, receiver, dispatcher, metrics, log))
        web.start()
        open_parts.callback(web.stop)
        receiver.start()
        open_parts.callback(receiver.stop, ASSOCIATIONS_END_S)
        for deliverer in deliverers:
            deliverer.start()
        log.info("started", dicom_port=receiver.port, web_port=web.port)
        dispatcher.work(stopping)
        for deliverer in deliverers:
            deliverer.join()
        log.info("stopped")


def batch_settings(config: Segmenting) -> BatchSettings:
    """As a batch takes it."""
    tls = config.scheduler_tls
    return BatchSettings(
        segment=SegmentSettings(
            bundle=config.bundle,
            weights=config.weights,
            device=config.device,
            precision=config.precision,
            components=config.components,
            outputs=config.outputs,
        ),
        executor="dask" if config.scheduler else "local",
        workers=config.workers,
        scheduler=config.scheduler,
        tls_ca=tls.ca if tls else None,
        tls_cert=tls.cert if tls else None,
        tls_key=tls.key if tls else None,
        timeout_minutes=config.timeout_minutes,
        memory_gb=config.memory_gb,
    )
