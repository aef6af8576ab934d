"""What a store keeps; ``httpx_cobo_auth.stores`` exports the same names."""

from httpx_cobo_auth._protocol.records import Note, Record, StoreKey, Version

__all__ = ["Note", "Record", "StoreKey", "Version"]
