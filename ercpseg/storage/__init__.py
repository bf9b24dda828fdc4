"""The only rooms that write files. Everything here is atomic: a name holds the old content or the new, never a mix."""
