"""One file, one experiment: a file here is its own registration."""
