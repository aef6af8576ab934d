"""The command line: look at tokens, renew and forget them, make keys, check a setup, simulate.

One module for each command, all of them called by ``main``. Settings are those of ``from_env``.
It needs no extra but that of the store it is pointed to.
"""
