"""Which series of a study plays which role of a bundle: rules, evidence, refusals. Pure Python on header facts."""
