"""Instruments over SiLA 2 (https://sila-standard.com): the feature definitions, and the client's side of the wire.

Work is started by unobservable commands that return at once and is polled with `Lookup`: the client side of an
observable execution never learns that its server has died. What is not here: servers (`twin/sila.py`).
"""
