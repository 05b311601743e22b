"""The way of a message through the gateway, out and in, and what waits on it."""
