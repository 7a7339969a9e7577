"""Which channel of 2-D slices plays which role: their order says it, no rule is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_index import SOURCE
from scanweave.transforms.selection.roles import Role


def channels_by_role(
    series: Sequence[Series], roles: Sequence[Role], chosen: Mapping[str, Series]
) -> dict[str, Series]:
    """The channels of a stack in the order of the roles; gray slices are the one required role's.

    Of a single role the first channel, where gray slices may be stored as RGB: `read_slices` looks whether they are.

    Empty where there are no slices, or where a role is given by hand from elsewhere: then pictures do not count.

    Raises
    ------
    InputRefused
        The slices' own problems; WRONG_SHAPE where the channels do not fit the roles.
    """
    channels = [item for item in series if item.source == SOURCE]
    if not channels or any(item.source != SOURCE for item in chosen.values()):
        return {}
    problems = dict.fromkeys(problem for item in channels for problem in item.problems)
    if problems:
        raise InputRefused(problems)
    if len(channels) == len(roles):
        return {role.name: item for role, item in zip(roles, channels, strict=True)}
    required = [role.name for role in roles if role.required]
    if len(required) == 1 and (len(channels) == 1 or len(roles) == 1):
        return {required[0]: channels[0]}
    names = ", ".join(role.name for role in roles)
    message = f"expected slices with a channel for each of {names}, found {len(channels)} channel(s)"
    raise InputRefused(Problem(Code.WRONG_SHAPE, message, f"series {channels[0].name}"))


def channel_evidence(series: Series) -> str:
    """Why a channel plays its role, in words."""
    return f"{series.part} of the slices" if series.part else "the slices have one channel"
