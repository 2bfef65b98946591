"""Where a job begins: each file makes a `Start` (suppress/protocol.py)."""
