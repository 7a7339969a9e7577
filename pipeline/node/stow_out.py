"""Results go out by STOW-RS (PS3.18 10.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

from scanweave.pipeline.node.config import StowDestination
from scanweave.pipeline.node.not_delivered import NotDelivered

if TYPE_CHECKING:
    import requests

TIMEOUT_S = 60.0


def send(files: Sequence[Path], destination: StowDestination) -> None:
    """Send `files` in one request; NotDelivered where the server does not say of each that it has it."""
    import requests
    from dicomweb_client.api import DICOMwebClient

    datasets = [pydicom.dcmread(file) for file in files]
    try:
        client = DICOMwebClient(destination.url, session=_session(destination), timeout=TIMEOUT_S)
        answer = client.store_instances(datasets)
    except requests.HTTPError as error:
        status = "no status" if error.response is None else f"status {error.response.status_code}"
        raise NotDelivered(f"it answered with {status}") from error
    except (requests.RequestException, OSError) as error:
        raise NotDelivered(f"it cannot be reached ({type(error).__name__})") from error
    except Exception as error:  # dicomweb-client raises nearly anything on an answer that it cannot read
        raise NotDelivered(f"its answer cannot be read ({type(error).__name__})") from error
    stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or []}
    if missing := [dataset for dataset in datasets if str(dataset.SOPInstanceUID) not in stored]:
        reasons = {f"0x{int(item.FailureReason):04X}" for item in answer.get("FailedSOPSequence") or []
                   if "FailureReason" in item}  # fmt: skip
        why = f" with {', '.join(sorted(reasons))}" if reasons else ""
        raise NotDelivered(f"it refused {len(missing)} of {len(datasets)} instances{why}")


def ask(destination: StowDestination) -> None:
    """Whether the server answers at all, and knows us; NotDelivered says why not."""
    import requests

    try:
        answer = _session(destination).get(f"{destination.url.rstrip('/')}/studies?limit=1", timeout=TIMEOUT_S)
    except (requests.RequestException, OSError) as error:
        raise NotDelivered(f"it cannot be reached ({type(error).__name__})") from error
    if not answer.ok:
        raise NotDelivered(f"it answered with status {answer.status_code}")


def _session(destination: StowDestination) -> requests.Session:
    import requests

    session = requests.Session()
    if destination.user is not None and destination.password_file is not None:
        session.auth = (destination.user, destination.password_file.read_text().strip())
    if destination.token_file is not None:
        session.headers["Authorization"] = f"Bearer {destination.token_file.read_text().strip()}"
    if destination.ca is not None:
        session.verify = str(destination.ca)
    return session
