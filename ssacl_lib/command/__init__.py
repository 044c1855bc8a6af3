"""The doors: what `ssacl` understands, and one file per kind of work."""
