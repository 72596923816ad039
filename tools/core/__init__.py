"""The ground floor: domain types, protocols, the property catalogue, units and errors.

Nothing here imports any other part of Lodestone, and nothing here is heavy at import time.
"""
