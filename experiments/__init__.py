"""The experiments: flat scripts, each of which writes its numbers as JSON and its pictures as PNG."""
