"""Carrying the decisions out: over httpx, in threads and event loops, with a store."""
