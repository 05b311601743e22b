"""The command ``gre keys``: our own keys and those of contacts."""
