"""Rigid registration of one series to another: pyramid, samples, metric, starts, descent, judgement."""
