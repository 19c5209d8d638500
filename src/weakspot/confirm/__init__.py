"""Confirmation: playing on from twins and recorded states, to tell what goes wrong, what causes it and what would help."""
