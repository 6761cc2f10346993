"""One file per peer, with `LIBRARIES` and `setup(work, variant) -> Job`."""
