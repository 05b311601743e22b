"""What an operator sees of a running gateway: log, metrics, health, and whether it runs at all."""
