"""The recipe ``fast`` with a tiny network and a tiny flow."""

from weakspot.state_model.fast import FastConfig, FastRecipe
from weakspot.state_model.flow import FlowConfig

TINY = FastRecipe(FastConfig(width=8, code=3, batch_size=4), flow=FlowConfig(width=16, depth=1, heads=1))
