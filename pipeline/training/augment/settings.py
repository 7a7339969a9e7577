"""How far each augmentation goes, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges of the augmentations; lengths in pixels of the model space (256 across), angles in degrees.

    Deviations are of normal distributions that are cut at two of them; `p_` are probabilities per sample.

    Attributes
    ----------
    rotation, zoom, stretch, shift
        Largest angle; factors between which the head's size lies; deviation of the ratio of its sides (logarithm);
        largest shift.
    p_mirror, p_upside_down
        Of left and right, and of front and back, exchanged.
    p_elastic, elastic
        Displacement of a coarse grid of control points, deviation.
    p_misregistered, misregistration, misrotation, slice_shift
        Series other than the reference moved on their own: deviations in the plane, and in slices through it.
    p_gamma, gamma
        Exponent per series, deviation of its logarithm.
    p_bias, bias
        Smooth field that series are multiplied with, deviation of its logarithm.
    p_blur, blur
        Gaussian blur of all series, largest deviation.
    p_coarse, coarse
        Low resolution along one axis, largest factor.
    p_noise, noise
        Largest deviation, of the series' own range 0..1.
    gain, offset
        Deviations, per series, of what the z-score of another scan would come to.
    p_missing, p_alone
        Of each other series replaced by the reference, and of all of them at once: a network that has hardly seen the
        latter loses much by it (fold 0, with 1 % of its samples so: 0.21 of Dice).
    """

    rotation: float = 20.0
    zoom: tuple[float, float] = (0.75, 1.15)
    stretch: float = 0.04
    shift: float = 12.0
    p_mirror: float = 0.5
    p_upside_down: float = 0.2
    p_elastic: float = 0.3
    elastic: float = 3.0
    p_misregistered: float = 0.5
    misregistration: float = 1.5
    misrotation: float = 1.5
    slice_shift: float = 0.3
    p_gamma: float = 0.5
    gamma: float = 0.2
    p_bias: float = 0.4
    bias: float = 0.15
    p_blur: float = 0.2
    blur: float = 1.2
    p_coarse: float = 0.15
    coarse: float = 2.5
    p_noise: float = 0.3
    noise: float = 0.05
    gain: float = 0.08
    offset: float = 0.08
    p_missing: float = 0.1
    p_alone: float = 0.1
