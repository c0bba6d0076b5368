"""Rules over derived layers: `sizes` judges one layer, `design` the whole network.

One function a rule; its docstring is what `cnncalc explain CODE` prints.
"""
