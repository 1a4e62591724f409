"""Broken variants of Florin, kept so that the harness can be seen to fail: each does one thing as many systems do it."""
