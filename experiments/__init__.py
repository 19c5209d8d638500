"""The experiments: one script for each table and figure, which writes its numbers as JSON and its figures as PNG."""
