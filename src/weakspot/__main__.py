"""``python -m weakspot``: the same as the command ``weakspot``."""

from weakspot.cli import entry

if __name__ == "__main__":
    entry()
