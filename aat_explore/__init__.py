"""Adaptive adversarial training: train it, cache every epoch's sampling distribution, and explore what it picks.

Importing the package does not import torch, so that the dashboard starts at once.
"""

__version__ = "0.1.0"
