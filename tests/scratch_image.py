"""A Dockerfile built and run without an engine: its instructions in copies of a bare Debian, by chroot. Needs root.

The bare Debian (debootstrap, minbase) stands in for the base image. Mounts live in a namespace of their own, so that
they end with each command. Of this machine, a RUN line gets what an engine would hand it, the way to the network: name
resolution, proxies, pip's configuration and apt's sources; what is run in the end gets nothing of that.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile import Dockerfile, Stage, expand, sent
from external_tools import require_tool

MIRROR = "http://deb.debian.org/debian"
"""Debian's own, where the host is no Debian of the same release and so has no nearer one to tell of."""
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES = ("null", "zero", "full", "random", "urandom")
PIP_SETTINGS = {"index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "cert", "client-cert",
                "proxy", "timeout", "default-timeout", "retries"}  # fmt: skip
"""Of pip's configuration, what says where packages come from."""
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
HOST = "/run/host"
"""Where a RUN line finds what pip's configuration names of this machine."""
_DEBIAN = re.compile(r"debian:([a-z]+)(-slim)?")


@dataclass(frozen=True)
class Image:
    """What a stage came to: its files, and how a container of it starts."""

    root: Path
    environment: Mapping[str, str]
    user: str
    folder: str
    entry_point: Sequence[str]
    command: Sequence[str]

    def run(
        self,
        *arguments: str,
        user: str = "",
        mounts: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
        entry_point: Sequence[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """As `docker run --read-only --tmpfs /tmp --network none --cap-drop ALL`; `mounts` are writable."""
        words = [*(self.entry_point if entry_point is None else entry_point), *(arguments or self.command)]
        uid, _, gid = (user or self.user).partition(":")
        drop = ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups", "--bounding-set=-all",
                "--no-new-privs"]  # fmt: skip
        setup = [f"mount --bind {_q(self.root)} {_q(self.root)}", f"mount -o remount,bind,ro {_q(self.root)}"]
        setup += [f"mount -t tmpfs -o mode=1777 none {_q(self.root / 'tmp')}"]
        setup += [f"mount --bind {_q(path)} {_q(self.root)}{target}" for target, path in (mounts or {}).items()]
        everything = {**self.environment, **(environment or {})}
        return _chrooted(self.root, setup, [*drop, *_shell(self.folder, everything, words)], ["--net"])


@dataclass
class Builder:
    """Builds a Dockerfile's stages, in order, below `work`; the context is what git knows below `checkout`."""

    checkout: Path
    work: Path
    build_arguments: Mapping[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)

    def build(self, dockerfile: Dockerfile) -> Image:
        """The last stage."""
        arguments = {**dockerfile.arguments, **self.build_arguments}
        bare = {base: self._bare(base) for base in {expand(stage.base, arguments) for stage in dockerfile.stages}}
        for number, stage in enumerate(dockerfile.stages):
            root = self.work / f"stage{number}"
            subprocess.run(["cp", "--archive", bare[expand(stage.base, arguments)], root], check=True)
            image = self._stage(stage, root)
            self.images[stage.name or str(number)] = image
        return image

    def _bare(self, base: str) -> Path:
        match = _DEBIAN.fullmatch(base)
        if match is None:
            raise ValueError(f"{base}: only a Debian can be made from nothing here")
        root = self.work / base.replace(":", "-")
        sources = host_sources(match[1]) or [f"{MIRROR} {match[1]} main"]
        command = [require_tool("debootstrap"), "--variant=minbase", match[1], str(root), sources[0].split()[0]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (root / "etc/apt/sources.list").write_text("".join(f"deb {source}\n" for source in sources))
        (root / "etc/apt/apt.conf.d/99proxy").write_text(host_apt_proxies())
        return root

    def _stage(self, stage: Stage, root: Path) -> Image:
        environment, arguments = {"PATH": BASE_PATH}, {}
        user, folder = "0:0", "/"
        start: dict[str, list[str]] = {"ENTRYPOINT": [], "CMD": []}
        for instruction in stage.instructions:
            values = {**arguments, **environment}
            if instruction.keyword == "ARG":
                arguments.update({name: self.build_arguments.get(name, value)
                                  for name, value in instruction.pairs.items()})  # fmt: skip
            elif instruction.keyword == "ENV":
                environment.update({name: expand(value, values) for name, value in instruction.pairs.items()})
            elif instruction.keyword == "WORKDIR":
                folder = str(Path(folder, expand(instruction.text, values)))
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif instruction.keyword == "USER":
                user = expand(instruction.text, values)
            elif instruction.keyword in start:
                start[instruction.keyword] = instruction.words
            elif instruction.keyword == "COPY":
                self._copy(root, folder, *instruction.copied)
            elif instruction.keyword == "RUN":
                if user != "0:0":
                    raise ValueError("RUN after USER: not followed here")
                self._run(root, folder, instruction.text, values)
        return Image(root, environment, user, folder, start["ENTRYPOINT"], start["CMD"])

    def _copy(self, root: Path, folder: str, stage: str | None, sources: list[str], destination: str) -> None:
        target = root / str(Path(folder, destination)).lstrip("/")
        if stage is not None:
            for source in sources:
                target.parent.mkdir(parents=True, exist_ok=True)
                found = self.images[stage].root / source.lstrip("/")
                subprocess.run(["cp", "--archive", "--no-target-directory", found, target], check=True)
            return
        for source in sources:
            chosen = [path for path in context(self.checkout) if source == "." or path == source]
            if not chosen:
                raise FileNotFoundError(f"COPY {source}: not in the build context")
            for path in chosen:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.checkout / path, target / path)

    def _run(self, root: Path, folder: str, text: str, environment: Mapping[str, str]) -> None:
        variables, mounts = host_pip()
        proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
        mounts.update({path: Path(path) for path in ("/etc/resolv.conf", "/etc/hosts")})
        setup = []
        for target, path in mounts.items():
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir(exist_ok=True) if path.is_dir() else place.touch()
            setup += [f"mount --bind {_q(path)} {_q(place)}", f"mount -o remount,bind,ro {_q(place)}"]
        done = _chrooted(root, setup, _shell(folder, {**proxies, **variables, **environment}, ["/bin/sh", "-c", text]))
        shutil.rmtree(root / HOST.lstrip("/"), ignore_errors=True)
        if done.returncode:
            raise RuntimeError(f"RUN {text}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def context(checkout: Path) -> list[str]:
    """What `COPY .` brings: the files that git knows, as they are now, but for what .dockerignore names."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True, text=True).stdout
    ignore = (checkout / ".dockerignore").read_text()
    return [path for path in listed.split("\0") if path and (checkout / path).is_file() and sent(path, ignore)]


def host_sources(suite: str) -> list[str]:
    """Where this machine gets Debian `suite` from, as `URI suite component`, the release itself first."""
    form = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [row.removesuffix(" Debian") for row in dict.fromkeys(rows) if row.endswith(" Debian")]
    ours = [row for row in found if re.fullmatch(rf"\S+ {suite}(-updates|-security)? main", row)]
    return sorted(ours, key=lambda row: row.split()[1]) if any(row.split()[1] == suite for row in ours) else []


def host_apt_proxies() -> str:
    """apt's own proxy settings."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if re.match(r"Acquire::https?::Proxy\b", line))


def host_pip() -> tuple[dict[str, str], dict[str, Path]]:
    """pip's configuration as its environment variables, and what of this machine they name, by its place in a root."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    variables: dict[str, str] = {}
    mounts: dict[str, Path] = {}
    for row in rows:
        name, _, text = row.partition("=")
        setting = name.rpartition(".")[2]
        if setting not in PIP_SETTINGS:
            continue
        words = str(ast.literal_eval(text)).split()
        for n, word in enumerate(words):
            path = word.removeprefix("file://")
            if path.startswith("/") and Path(path).exists():
                top = Path(path).parent if Path(path).name == "simple" else Path(path)  # an index links to its sibling
                place = f"{HOST}/{len(mounts)}"
                mounts[place] = top
                words[n] = word.replace(str(top), place, 1)
        variables[f"PIP_{setting.upper().replace('-', '_')}"] = " ".join(words)
    return variables, mounts


def _chrooted(
    root: Path, setup: Sequence[str], words: Sequence[str], spaces: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    devices = [f"mount -t tmpfs -o mode=755 none {_q(root / 'dev')}", f"mkdir -m 1777 {_q(root / 'dev/shm')}"]
    devices += [f"touch {_q(root / 'dev' / name)} && mount --bind /dev/{name} {_q(root / 'dev' / name)}"
                for name in DEVICES]  # fmt: skip
    script = [
        *setup,
        f"mount -t proc none {_q(root / 'proc')}",
        *devices,
        f"exec chroot {_q(root)} {shlex.join(words)}",
    ]
    space = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation=private", *spaces]
    return subprocess.run([*space, "sh", "-ec", "\n".join(script)], capture_output=True, text=True, check=False)


def _shell(folder: str, environment: Mapping[str, str], words: Sequence[str]) -> list[str]:
    variables = [f"{name}={value}" for name, value in environment.items()]
    return ["env", "--ignore-environment", f"--chdir={folder}", *variables, *words]


def _q(path: Path) -> str:
    return shlex.quote(str(path))
