"""Programs of others that read our mail and write to us, each behind the same few methods (:mod:`peers.peer`)."""
