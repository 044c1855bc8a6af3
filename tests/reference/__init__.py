"""The training step written down plainly and slowly: what the library's step must equal, and what its speed is compared with."""
