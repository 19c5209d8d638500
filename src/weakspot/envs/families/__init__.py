"""The families of environments that come with weakspot, one module each; see :mod:`weakspot.envs.family`."""
