"""Measured tensors to tables: the paper's and the study's own."""
