"""A node's configuration: who may send, when a study is taken, where results go, how it is watched."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scanweave.pipeline.outputs import OUTPUTS

AeTitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]
"""PS3.5 table 6.2-1: 16 printable letters of ASCII at most, no backslash, not blanks alone."""
Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
LOOPBACK = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths start where the configuration lies, wherever the node is started from."""
    folder: Path = (info.context or {}).get("folder", Path.cwd())
    return folder / path.expanduser()


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
DICOM_OUTPUTS = tuple(name for name, output in OUTPUTS.items() if output.sources == ("dicom",))


class Part(BaseModel):
    """A part of the configuration: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Part):
    """Files of TLS (PEM): our certificate, its key, and the authority that the other side's certificate is of."""

    cert: FilePath
    key: FilePath
    ca: FilePath


class Receive(Part):
    """Instances come in by C-STORE (`stow` in `Web` is the other way)."""

    ae_title: AeTitle = "SCANWEAVE"
    host: str = LOOPBACK
    port: Port = 11112
    called: tuple[AeTitle, ...] = ()
    """Other names by which it may be called."""
    callers: tuple[AeTitle, ...] = Field(min_length=1)
    """AE titles that may send."""
    max_associations: int = Field(default=16, ge=1, le=1000)
    idle_s: Seconds = 60
    """An association that says nothing for so long is ended."""
    tls: Tls | None = None
    """Then clients need a certificate of `ca`."""


class Taking(Part):
    """When a study is taken to be complete."""

    quiet_s: Seconds = 60
    """Nothing came for so long."""
    complete_quiet_s: Seconds = 10
    """The same, where every role has its series already."""

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        if self.complete_quiet_s > self.quiet_s:
            raise ValueError("complete_quiet_s is not longer than quiet_s")
        return self


class Segmenting(Part):
    """As the options of `scanweave segment`, and who computes."""

    bundle: str = "flair_abnormality"
    weights: FilePath | None = None
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    components: Literal["likely", "largest", "all"] | None = None
    outputs: tuple[str, ...] = ("dicom-seg", "sr", "report")
    workers: int | None = Field(default=None, ge=1)
    timeout_minutes: float = Field(default=30, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    scheduler: str | None = None
    """Of a Dask cluster, which then computes; its workers see `folder` under the same path."""
    scheduler_tls: Tls | None = None


class Destination(Part):
    """What every destination has."""

    name: Name
    outputs: tuple[str, ...] = ("dicom-seg", "sr")
    """Which of the results' DICOM files go there."""

    @field_validator("outputs")
    @classmethod
    def _of_dicom(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if unfit := [name for name in given if name not in DICOM_OUTPUTS]:
            raise ValueError(f"expected DICOM ({', '.join(DICOM_OUTPUTS)}), found {', '.join(unfit)}")
        return given


class DicomDestination(Destination):
    """A PACS that takes C-STORE."""

    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    commitment: bool = False
    """Ask for storage commitment, and count a result as delivered only then."""
    tls: Tls | None = None


class StowDestination(Destination):
    """A DICOMweb server that takes STOW-RS."""

    kind: Literal["stow"] = "stow"
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
    user: str | None = None
    password_file: FilePath | None = None
    token_file: FilePath | None = None
    ca: FilePath | None = None


class Delivery(Part):
    """How often a delivery is tried, and how long is waited between: twice as long each time."""

    attempts: int = Field(default=10, ge=1)
    first_wait_s: Seconds = 10
    longest_wait_s: Seconds = 3600
    commitment_wait_s: Seconds = 600


class Keep(Part):
    """How long things are kept after every delivery was confirmed."""

    input_days: float = Field(default=7, ge=0)
    refused_days: float | None = Field(default=None, ge=0)
    """Of the input of studies that were refused or failed; None keeps it."""
    results_days: float | None = Field(default=None, ge=0)
    """None keeps them."""


class Disk(Part):
    """Below `least_free_gb` no instance is taken, and no association."""

    least_free_gb: float = Field(default=5, ge=0)


class Web(Part):
    """The page, /healthz, /readyz, /metrics, and STOW-RS in."""

    host: str = LOOPBACK
    port: Port = 8042
    token_file: FilePath | None = None
    """Holds the word that the page asks for."""
    hosts: tuple[str, ...] = ()
    """Names by which browsers may know this server, besides `host` and localhost."""
    stow: bool = False
    largest_request_mb: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token_file is None and not is_loopback(self.host):
            raise ValueError("a host that others can reach needs token_file")
        return self


class NodeConfig(Part):
    """The whole configuration; `folder` holds everything that the node keeps."""

    folder: FilePath
    receive: Receive
    taking: Taking = Taking()
    segment: Segmenting = Segmenting()
    destinations: tuple[Annotated[DicomDestination | StowDestination, Field(discriminator="kind")], ...] = ()
    delivery: Delivery = Delivery()
    keep: Keep = Keep()
    disk: Disk = Disk()
    web: Web = Web()
    drain_s: Seconds = 300
    """After SIGTERM, for studies that run."""

    @property
    def incoming(self) -> Path:
        """Instances that came in, a folder a study."""
        return self.folder / "incoming"

    @property
    def results(self) -> Path:
        """Of the studies that are done, a folder each."""
        return self.folder / "results"

    @property
    def undelivered(self) -> Path:
        """Copies of results that a destination did not take."""
        return self.folder / "undelivered"

    @field_validator("destinations")
    @classmethod
    def _named_apart(cls, given: tuple[Destination, ...]) -> tuple[Destination, ...]:
        names = [destination.name for destination in given]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two destinations have the name {', '.join(twice)}")
        return given

    @model_validator(mode="after")
    def _written(self) -> Self:
        for destination in self.destinations:
            if missing := [name for name in destination.outputs if name not in self.segment.outputs]:
                raise ValueError(f"segment.outputs lacks {', '.join(missing)}, which {destination.name} is to get")
        return self
