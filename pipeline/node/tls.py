"""TLS with certificates on both sides (PS3.15 B.9: TLS 1.2 or later)."""

from __future__ import annotations

import ssl

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.node.config import DicomDestination, NodeConfig, Tls


def check_certificates(config: NodeConfig) -> None:
    """Whether all that a node needs can be used; CERTIFICATE_INVALID as a failure."""
    if config.receive.tls:
        server_context(config.receive.tls)
    for destination in config.destinations:
        if isinstance(destination, DicomDestination) and destination.tls:
            client_context(destination.tls)


def server_context(files: Tls) -> ssl.SSLContext:
    """Of one that is called: who calls needs a certificate of the authority. CERTIFICATE_INVALID as a failure."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _loaded(context, files)


def client_context(files: Tls) -> ssl.SSLContext:
    """Of one that calls; the name in the other's certificate is compared with the host that was called."""
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files)


def _loaded(context: ssl.SSLContext, files: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key)
        context.load_verify_locations(files.ca)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or type(error).__name__
        message = f"the certificate, its key or the authority's certificate cannot be used ({reason})"
        raise EnvironmentFailure(Problem(Code.CERTIFICATE_INVALID, message, files.cert.name)) from error
    return context
