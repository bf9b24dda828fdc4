"""The documents that travel between stages: frozen, versioned, unknown keys refused; no I/O in this room."""
