"""A package as a third party would write it: one extension of each kind, on toy problems with known results."""
