"""The report's interactive half: the study's volumes in NiiVue, inside the one file."""
