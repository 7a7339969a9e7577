"""`node --check`: is the configuration fit, and does every destination answer."""

from __future__ import annotations

from collections.abc import Mapping

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.network_settings import expanded
from scanweave.pipeline.node import store_scu, stow_out
from scanweave.pipeline.node.config import Destination, DicomDestination, NodeConfig, StowDestination
from scanweave.pipeline.node.node import batch_settings
from scanweave.pipeline.node.not_delivered import NotDelivered
from scanweave.pipeline.node.tls import check_certificates
from scanweave.pipeline.segment_settings import overrides_of


def check_peers(config: NodeConfig) -> Mapping[str, str]:
    """What each part answers, by its name.

    Raises
    ------
    UsageError, EnvironmentFailure
        Settings without meaning, CERTIFICATE_INVALID, and PEER_UNREACHABLE for each destination that does not
        answer, or would not take results.
    """
    overrides_of(batch_settings(config.segment).segment)
    check_certificates(config)
    answers = {"configuration": f"valid; everything is kept in {expanded(config.folder)}"}
    problems = []
    for destination in config.destinations:
        try:
            _ask(destination, config)
            answers[destination.name] = "answers, and takes segmentations and reports"
        except NotDelivered as reason:
            problems.append(Problem(Code.PEER_UNREACHABLE, f"destination {destination.name}: {reason}"))
    if problems:
        raise EnvironmentFailure(problems)
    return answers


def _ask(destination: Destination, config: NodeConfig) -> None:
    if isinstance(destination, DicomDestination):
        store_scu.echo(destination, config.receive.ae_title)
    elif isinstance(destination, StowDestination):
        stow_out.ask(destination)
