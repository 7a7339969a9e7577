"""Names for studies and series that cannot be read back: keyed hashes, with a key that stays at the site.

A bare hash of a UID can be reversed by anyone who holds a list of UIDs; an HMAC cannot without the key.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem

KEY_VARIABLE = "SCANWEAVE_SITE_KEY"
"""The key itself, for sites whose hosts share one; otherwise each user has a key file."""
_DIGITS = 16
_UID = re.compile(r"[0-9.]{1,64}")


def pseudonym(identifier: str, *, phi: bool = False) -> str:
    """A short stable name for a UID, or for a path (of any bytes).

    With `phi` a UID itself, where it is one and so fit for a file name.
    """
    if phi and _UID.fullmatch(identifier):
        return identifier
    return hmac.new(site_key(), os.fsencode(identifier), hashlib.sha256).hexdigest()[:_DIGITS]


def site_key() -> bytes:
    """The site's key: from the environment, else from the user's configuration, where it is made at first use.

    Raises
    ------
    EnvironmentFailure
        OUTPUT_UNWRITABLE where no key is there and none can be stored, or an empty one is.
    """
    if value := os.environ.get(KEY_VARIABLE):
        return value.encode()
    try:
        path = _key_file()
        if not path.exists():
            _store_new_key(path)
        key = path.read_bytes()
    except OSError as error:
        message = f"the site key cannot be stored ({error.strerror}); set {KEY_VARIABLE}"
        raise EnvironmentFailure(Problem(Code.OUTPUT_UNWRITABLE, message)) from error
    if not key:
        message = f"the site key is empty, which hides nothing: remove the file or set {KEY_VARIABLE}"
        raise EnvironmentFailure(Problem(Code.OUTPUT_UNWRITABLE, message, path.name))
    return key


def _key_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        folder = Path(base) if base else Path.home() / ".config"
    except RuntimeError as error:  # a container's user may have no home
        raise FileNotFoundError(errno.ENOENT, "this user has no home folder") from error
    return folder / "scanweave" / "site.key"


def _store_new_key(path: Path) -> None:
    """Whole or not at all, and the first of two processes that race wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
