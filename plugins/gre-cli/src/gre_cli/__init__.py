"""The gre command: demo, doctor, send, listen, explain."""
