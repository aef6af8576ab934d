"""What a store keeps; ``httpx_cobo_auth.stores`` exports the same names."""

from httpx_cobo_auth._protocol.records import PendingExchange, Record, StoreKey, Version

__all__ = ["PendingExchange", "Record", "StoreKey", "Version"]
