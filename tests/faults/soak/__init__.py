"""Florin under load, its programs killed one after the other; docs/faults.md says how it is run."""
