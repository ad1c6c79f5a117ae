"""Other people's code for the same methods, one library a file; dense weights in and out.

Each works on a copy of the model, loaded from a temporary folder: packed modules, hooks and patched
forward passes stay there, and only weights and grids come back. They run on the CPU; padding does
not count.
"""
