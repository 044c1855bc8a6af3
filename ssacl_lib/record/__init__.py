"""What ran and what came out: manifest, fingerprints of the sources, tables."""
