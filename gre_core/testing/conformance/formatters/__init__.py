"""The suite for formatters, in its parts."""
