"""The whole API against a small model of it: after each step both say the same."""
