"""Gaussian processes whose hyperparameters are a sample: what tables, crystals and maps are all learned with."""
