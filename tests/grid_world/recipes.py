"""The recipe ``fast`` with a tiny network."""

from weakspot.state_model.recipes import recipe

TINY = recipe("fast").changed(width=8, code=3, batch_size=4)
