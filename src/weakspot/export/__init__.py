"""A run in formats of other programs: pictures, videos, tables, and a model card."""
