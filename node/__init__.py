"""The roof: everything put together into one service."""
