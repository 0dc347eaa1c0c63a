"""A study to play with: one image under one perturbation, whatever is changed. Its notebook is ``notebooks/explore.ipynb``."""
