"""Bytes of foreign files in, plain arrays out: every decoder, and the limited child process that they run in."""
