"""What a client is told when there is no result: an HTTP status and one line with a code, as scanweave's own."""

from __future__ import annotations

from fastapi import HTTPException


class Refusal(HTTPException):
    """`{"detail": "error[CODE]: what was expected, what came"}` under `status`; several problems are several lines."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, f"error[{code}]: {message}")
        self.codes: tuple[str, ...] = (code,)

    @classmethod
    def of_lines(cls, status: int, codes: tuple[str, ...], lines: list[str]) -> Refusal:
        """Refusals of the command, word for word."""
        refusal = cls(status, codes[0], "")
        refusal.detail, refusal.codes = "\n".join(lines), codes
        return refusal
