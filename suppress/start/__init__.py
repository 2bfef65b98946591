"""The ways in which a job can begin. Each file makes a `Start` (suppress/protocol.py)."""
