"""``gre demo``: both ways through a real gateway process, and the proof that it could read nothing."""
