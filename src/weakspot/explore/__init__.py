"""The explorer: a local page on which a person moves through the state model, searches, and plays from states of a run."""
