"""Payments under crashes, faults and races, each enumerated; docs/faults.md says how it works."""
