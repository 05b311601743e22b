"""The suite for encrypters, in its parts."""
