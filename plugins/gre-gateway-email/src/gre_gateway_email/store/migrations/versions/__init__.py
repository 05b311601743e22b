"""The steps themselves, one module for each, in their order."""
