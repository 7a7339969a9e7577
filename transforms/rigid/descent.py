"""Downhill to a minimum of six variables: the method of Broyden, Fletcher, Goldfarb and Shanno.

Nocedal and Wright, Numerical Optimization (2006), algorithm 6.1 with backtracking. scipy's would do, but importing it
takes longer than registering.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import numpy.typing as npt

from scanweave.transforms.rigid.settings import Descent

Floats = npt.NDArray[np.float64]
Objective = Callable[[Floats], tuple[Floats, Floats]]
"""Values (n) and gradients (n, variables) at places (n, variables)."""
Found = tuple[float, Floats]
"""A value and where it is."""
Evaluation = tuple[float, Floats]

SUFFICIENT = 1e-4
"""Share of the fall that the slope promises which a step must bring."""
SHORTEST = 0.1
"""A step that rose is tried again at no less than this fraction."""
TRIES = 6
"""Of one step; a direction in which all of them rise leads nowhere."""


def descend(objective: Objective, starts: Sequence[Floats], how: Descent) -> list[Found]:
    """Return the lowest value found from each start, and where; inf where the start has no value.

    The descents know nothing of one another: they ask for values in turn and are answered together.
    """
    walks = [_walk(start, how) for start in starts]
    found: list[Found] = [(np.inf, start) for start in starts]
    asked = {n: next(walk) for n, walk in enumerate(walks)}
    while asked:
        values, gradients = objective(np.stack(list(asked.values())))
        for n, value, gradient in zip(list(asked), values.tolist(), gradients, strict=True):
            try:
                asked[n] = walks[n].send((value, gradient))
            except StopIteration as stopped:
                found[n] = stopped.value
                del asked[n]
    return found


def _walk(place: Floats, how: Descent) -> Generator[Floats, Evaluation, Found]:
    """One descent, which yields a place and is sent the value and the gradient there."""
    value, gradient = yield place
    left = how.evaluations - 1
    length = float(np.linalg.norm(gradient))
    if not np.isfinite(value) or length == 0:
        return value, place
    inverse = np.eye(len(place)) * (how.first_mm / length)
    fresh = True
    while left > 0:
        step = -inverse @ gradient
        slope = float(step @ gradient)
        if slope >= 0:
            break
        scale = min(1.0, how.longest_mm / float(np.linalg.norm(step)))
        for _ in range(min(TRIES, left)):
            new_value, new_gradient = yield place + scale * step
            left -= 1
            if new_value <= value + SUFFICIENT * scale * slope:
                break
            bend = new_value - value - scale * slope
            best = -slope * scale / (2 * bend) if np.isfinite(bend) and bend > 0 else SHORTEST
            taken = scale
            scale *= min(max(best, SHORTEST), 0.5)
        else:
            scale = taken
        if not new_value < value:
            break
        moved, turned = scale * step, new_gradient - gradient
        place, value, gradient = place + moved, new_value, new_gradient
        if np.linalg.norm(moved) < how.tolerance_mm:
            break
        curvature = float(moved @ turned)
        if curvature <= 0:
            continue
        if fresh:
            inverse = np.eye(len(place)) * (curvature / float(turned @ turned))
            fresh = False
        away = np.eye(len(place)) - np.outer(moved, turned) / curvature
        inverse = away @ inverse @ away.T + np.outer(moved, moved) / curvature
    return value, place
