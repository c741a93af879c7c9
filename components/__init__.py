"""The stages of SPA-VL, one room each: `component.py` is its KFP door, its logic sits beside it."""
