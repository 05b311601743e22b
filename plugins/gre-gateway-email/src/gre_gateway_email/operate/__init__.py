"""For the operator of a running gateway: log, metrics, health."""
