"""Steps on predicted masks (y, x), named by the plan and applied in its order. Pure; nothing here opens a file."""
