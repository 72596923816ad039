"""The laboratory: instruments behind one protocol, interlocks, recipe templates, and the bench that runs a recipe.

What is not here: what a recipe should be (`recipes/`) and what a powder pattern says (`diffraction/`).
"""
