"""Settings of the property tests."""

from __future__ import annotations

from hypothesis import settings

# Machines that run tests are busy: how long one example takes says nothing.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
